"""Batch systems of this machine, started for a test: fixtures that give the variables that lead to them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from command import wait_until

from landsat_downsample.testing.seaweed import free_port

BIN = Path(sys.executable).parent

_CONF = """\
ClusterName=recipes
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ctld}
SlurmdPort={slurmd}
StateSaveLocation={folder}
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES State=UP
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory) -> Iterator[dict[str, str]]:
    """A SLURM of one node on this machine; the variables that lead to it."""
    if not all(map(shutil.which, ("munged", "slurmctld", "slurmd", "sbatch"))) or os.getuid():
        pytest.skip("slurm-wlm and munge are not installed, or this is not root")
    folder = tmp_path_factory.mktemp("slurm")
    folder.chmod(0o755)
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    ports = {"ctld": free_port(), "slurmd": free_port()}
    facts = {"host": socket.gethostname().partition(".")[0], "user": "root", "folder": folder, "cpus": os.cpu_count()}
    (folder / "slurm.conf").write_text(_CONF.format(**ports, **facts, memory=psutil.virtual_memory().total >> 21))
    words = ["munged", "--foreground", "--force", f"--key-file={folder}/key", f"--socket={folder}/munge.socket"]
    words += [f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed"]
    conf, quiet, started = f"{folder}/slurm.conf", {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}, []
    try:
        started.append(subprocess.Popen(words, **quiet))
        wait_until((folder / "munge.socket").exists, *started)
        started += [subprocess.Popen([name, "-D", "-f", conf], **quiet) for name in ("slurmctld", "slurmd")]
        environ = {"SLURM_CONF": conf}

        def is_ready() -> bool:
            return _ask(["sinfo", "--noheader", "--format=%T"], environ) == "idle"

        wait_until(is_ready, *started)
        yield environ
        subprocess.run(["scancel", "--me"], env=os.environ | environ, check=True)  # a step outlives its slurmd
        wait_until(lambda: not _ask(["squeue", "--noheader"], environ), *started)
        wait_until(is_ready, *started)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(60)


def _ask(words: list[str], environ: dict[str, str]) -> str:
    return subprocess.run(words, env=os.environ | environ, capture_output=True, text=True, check=False).stdout.strip()


def _is_well(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture
def gateway(tmp_path) -> Iterator[dict[str, str]]:
    """A Dask Gateway of this machine; the variables that lead to it."""
    port, proxy = free_port(), free_port()
    address = f"http://127.0.0.1:{port}"
    (tmp_path / "config.py").write_text(
        "c.DaskGateway.backend_class = 'dask_gateway_server.backends.local.UnsafeLocalBackend'\n"
        f"c.DaskGateway.address = '127.0.0.1:{proxy}'\n"
        f"c.Proxy.address = '127.0.0.1:{port}'\n"
        f"c.UnsafeLocalBackend.clusters_directory = '{tmp_path}/clusters'\n"
        "c.ClusterConfig.scheduler_cmd = ['dask', 'scheduler']\nc.ClusterConfig.worker_cmd = ['dask', 'worker']\n"
        "c.ClusterConfig.worker_memory = '1 G'\nc.ClusterConfig.scheduler_memory = '1 G'\n"
    )
    environ = {"DASK_GATEWAY__ADDRESS": address, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "USER": "tester"}
    words = [str(BIN / "dask-gateway-server"), "-f", str(tmp_path / "config.py")]
    with (tmp_path / "gateway.log").open("wb") as log:
        server = subprocess.Popen(words, env=os.environ | environ, cwd=tmp_path, stdout=log, stderr=log)
    try:
        wait_until(lambda: _is_well(f"{address}/api/health"), server)  # its proxy answers 404 before it knows the way
        yield environ
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)
