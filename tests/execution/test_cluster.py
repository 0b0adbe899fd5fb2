"""Where work is done: threads, local processes, schedulers that are there; found, checked, closed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dask
import distributed
import pytest
import yaml
from packaging.version import Version

from landsat_downsample.errors import LandsatDownsampleError, ReadError, UsageError
from landsat_downsample.execution import cluster as cluster_module
from landsat_downsample.execution import kubernetes, version_check
from landsat_downsample.execution.cluster import MANY_BYTES, cluster, dashboard_link, dashboard_template
from landsat_downsample.execution.kubernetes import RUN, Made
from landsat_downsample.execution.version_check import VersionError

ROOT = Path(__file__).parents[2]


def script(text: str, folder: Path) -> subprocess.CompletedProcess:
    path = folder / "script.py"
    path.write_text(text)
    return subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)


# --- the word


def test_none_is_this_process():
    with cluster("none") as client:
        assert client is None
    assert dashboard_link(None) is None


@pytest.mark.parametrize(
    ("work", "word"),
    [(0, "none"), (MANY_BYTES, "none"), (MANY_BYTES + 1, "local")],
)
def test_auto_goes_by_the_work(monkeypatch, work, word):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    assert cluster_module._automatic(work) == word


@pytest.mark.parametrize("spec", ["", "lokal", "127.0.0.1:8786", "cluster.yml.txt", "http://a"])
def test_unknown_word(spec):
    with pytest.raises(UsageError, match=r"is unknown.*: give auto, none, local, kubernetes"), cluster(spec):
        pass


def test_something_else_than_a_client():
    with pytest.raises(UsageError, match="is no dask client"), cluster(7):
        pass


def test_workers_must_be_positive():
    with pytest.raises(UsageError, match="workers 0 must be at least 1"), cluster("local", workers=0):
        pass


# --- local


def test_local_has_processes_of_one_thread(local):
    workers = local.scheduler_info(n_workers=-1)["workers"].values()
    assert [worker["nthreads"] for worker in workers] == [1, 1]
    assert len({*local.run(os.getpid).values(), os.getpid()}) == 3
    assert dashboard_link(local).startswith("http://127.0.0.1:")


def test_closed_when_the_work_fails(tmp_path):
    reported = script(
        "import os, sys\n"
        "from landsat_downsample.execution.cluster import cluster\n"
        "if __name__ == '__main__':\n"
        "    with cluster('local', workers=1) as client:\n"
        "        print(*client.run(os.getpid).values(), flush=True)\n"
        "        raise SystemExit(7)\n",
        tmp_path,
    )
    assert reported.returncode == 7
    assert reported.stderr == ""
    assert not Path(f"/proc/{reported.stdout.strip()}").exists()


@pytest.mark.skipif(
    Version(distributed.__version__) < Version("2026.8"),
    reason="older releases start its worker again and again, each time with that line",
)
def test_script_without_a_guard_learns_what_to_do(tmp_path):
    reported = script(
        "from landsat_downsample.execution.cluster import cluster\nwith cluster('local', workers=1): pass\n", tmp_path
    )
    assert reported.returncode == 1
    assert "put its work under if __name__ == '__main__':" in reported.stderr


# --- joined


def test_address_is_joined_and_left_alone(local):
    address = local.scheduler.address
    with cluster(address) as client:
        assert client.scheduler.address == address
        assert client.submit(pow, 2, 5).result() == 32
    assert client.status == "closed"
    assert local.submit(pow, 2, 6).result() == 64


def test_environment_names_the_scheduler(local, monkeypatch):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", local.scheduler.address)
    with cluster("auto") as client:
        assert client.scheduler.address == local.scheduler.address


def test_scheduler_file(local, tmp_path):
    path = str(tmp_path / "scheduler.json")
    Path(path).write_text(json.dumps({"type": "Scheduler", "address": local.scheduler.address}))
    with cluster(path) as client:
        assert client.scheduler.address == local.scheduler.address
    with pytest.raises(UsageError, match="is not there"), cluster(str(tmp_path / "other.json")):
        pass


def test_client_is_handed_through_and_left_open(local):
    with cluster(local) as client:
        assert client is local
    assert local.status == "running"


def test_scheduler_that_is_not_there(monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT", 1.0)
    with pytest.raises(ReadError, match="does not answer within 1 s"), cluster("tcp://127.0.0.1:9"):
        pass


# --- version check


def test_same_versions_differ_in_nothing(local):
    version_check.check(local)


def test_differences_name_package_and_place():
    mine = {"python": "3.11", "numpy": "2.4.6"}
    there = {"tcp://a": {"python": "3.11", "numpy": "2.5.5"}, "tcp://b": dict(mine)}
    assert version_check.differences(mine, there) == {"numpy": {"client": "2.4.6", "tcp://a": "2.5.5"}}
    assert version_check.differences(mine, {}) == {}


@pytest.mark.parametrize(
    ("there", "remedy"),
    [
        ({"python": "3.9", "numpy": "1"}, "--build-arg BASE_IMAGE=docker.io/library/python:3."),
        ({"python": "3.11", "numpy": "2"}, "pip install --constraint k8s/constraints.txt"),
    ],
)
def test_mismatch_says_what_to_do(there, remedy):
    mine = {"python": "3.11", "numpy": "1"}
    with pytest.raises(VersionError) as caught:
        version_check._compare(mine, {"scheduler": there, "tcp://w": there}, "some/image:1")
    assert "some/image:1" in str(caught.value)
    assert remedy in str(caught.value)
    assert isinstance(caught.value, LandsatDownsampleError)


# --- dashboard


@pytest.mark.parametrize(
    ("prefix", "here", "link"),
    [
        (None, True, "{scheme}://{host}:{port}/status"),
        ("/user/ann/", True, "/user/ann/proxy/{port}/status"),
        ("/user/ann/", False, "/user/ann/proxy/{host}:{port}/status"),
    ],
)
def test_dashboard_behind_jupyterhub(monkeypatch, prefix, here, link):
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    if prefix:
        monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", prefix)
    assert dashboard_template(here=here) == link


def test_dashboard_link_that_is_configured_stays(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ann/")
    with dask.config.set({"distributed.dashboard.link": "https://hub/{port}"}):
        assert dashboard_template() == "https://hub/{port}"


# --- the manifest


def test_manifest_is_the_one_in_the_package():
    package = Path(kubernetes.__file__).with_name("cluster.yaml")
    assert (ROOT / "k8s" / "cluster.yaml").read_bytes() == package.read_bytes()


def test_prepared_for_a_run():
    given = kubernetes.read_manifest()
    made = kubernetes.prepared(given, "1a2b3c4d", workers=7, image="some/image:1")
    assert given == kubernetes.read_manifest()
    name = made["metadata"]["name"]
    assert name == "landsat-downsample-1a2b3c4d"
    assert made["metadata"]["labels"][RUN] == "1a2b3c4d"
    assert made["spec"]["scheduler"]["service"]["selector"]["dask.org/cluster-name"] == name
    assert made["spec"]["worker"]["replicas"] == 7
    images = {made["spec"][part]["spec"]["containers"][0]["image"] for part in ("scheduler", "worker")}
    assert images == {"some/image:1"}


def test_prepared_keeps_what_is_not_asked_for():
    given = kubernetes.read_manifest()
    made = kubernetes.prepared(given, "1a2b3c4d")
    assert made["spec"]["worker"] == given["spec"]["worker"]


@pytest.mark.parametrize(
    ("text", "reported"),
    [("kind: Pod", "holds Pod"), ("- 1", "holds list"), ("a: [", "cannot be read"), ("", "holds NoneType")],
)
def test_file_that_is_no_manifest(tmp_path, text, reported):
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=reported):
        kubernetes.read_manifest(str(path))


def test_manifest_without_a_container(tmp_path):
    broken = kubernetes.read_manifest()
    broken["spec"]["worker"]["spec"]["containers"] = []
    with pytest.raises(UsageError, match="start from k8s/cluster"):
        kubernetes.prepared(broken, "1a2b3c4d")


def _containers():
    spec = yaml.safe_load((ROOT / "k8s" / "cluster.yaml").read_text())["spec"]
    return [spec[part]["spec"] for part in ("scheduler", "worker")]


@pytest.mark.parametrize("pod", _containers(), ids=["scheduler", "worker"])
def test_pods_are_restricted(pod):
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    context = container["securityContext"]
    assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
    assert context["capabilities"] == {"drop": ["ALL"]}
    resources = container["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert not container["image"].endswith(":latest")
    assert ":" in container["image"]
    assert container["args"][:2] in (["dask", "scheduler"], ["dask", "worker"])


def test_worker_takes_its_limits_from_the_pod():
    container = _containers()[1]["containers"][0]
    fields = {
        e["name"]: e["valueFrom"]["resourceFieldRef"]["resource"]
        for e in container["env"]
        if "resourceFieldRef" in e.get("valueFrom", {})
    }
    assert fields == {"CPU_LIMIT": "limits.cpu", "MEMORY_LIMIT": "limits.memory"}
    assert {"--nthreads=$(CPU_LIMIT)", "--memory-limit=$(MEMORY_LIMIT)"} <= set(container["args"])


def test_owner_silent_for_long_is_gone():
    made = {"name": "a", "namespace": "b", "run": "c", "owner": "d", "phase": "Running", "workers": 1, "age": 9000.0}
    assert not Made(**made, silent=599.0).orphan
    assert Made(**made, silent=601.0).orphan
    assert not Made(**(made | {"run": "none"}), silent=1e6).orphan  # applied by hand: nobody beats for it
