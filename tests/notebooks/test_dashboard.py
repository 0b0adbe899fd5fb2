"""The dashboard of a cluster, seen through a real Jupyter server as a browser sees it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request

import pytest

import landsat_downsample as ld
from landsat_downsample.execution.cluster import dashboard_link
from landsat_downsample.testing.seaweed import free_port

TOKEN = "only-for-this-test"
BASE = "/user/me/"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Jupyter server with its proxy, below a path as JupyterHub has it; yields its origin."""
    home, port = tmp_path_factory.mktemp("jupyter"), free_port()
    places = {name: str(home) for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")}
    words = ["--ServerApp.jpserver_extensions={'jupyter_server_proxy': True}", f"--ServerApp.base_url={BASE}"]
    words += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.port={port}", "--ip=127.0.0.1"]
    words += ["--allow-root", "--no-browser"]
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *words],
            env=os.environ | places, cwd=home, stdout=log, stderr=log,
        )  # fmt: skip
    origin = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 90
        while time.monotonic() < end and process.poll() is None and not answers(f"{origin}{BASE}api"):
            time.sleep(0.3)
        assert answers(f"{origin}{BASE}api"), (home / "log").read_text()
        yield origin
    finally:
        process.terminate()
        process.wait()


def fetch(url: str) -> bytes:
    asked = urllib.request.Request(url, headers={"Authorization": f"token {TOKEN}"})
    with urllib.request.urlopen(asked, timeout=120) as answer:
        return answer.read()


def answers(url: str) -> bool:
    try:
        return bool(fetch(url))
    except OSError:
        return False


@pytest.mark.slow
def test_the_link_of_a_local_cluster_leads_through_the_hub(server, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", BASE)
    with ld.cluster("local", workers=1) as client:
        link = dashboard_link(client)
        assert link.startswith(f"{BASE}proxy/") and link.endswith("/status")
        page = fetch(server + link)
        assert b"Dask" in page
        # What the page loads is named relative to it, so that it comes through the proxy too.
        script = page.decode().partition('src="')[2].partition('"')[0]
        assert "://" not in script and not script.startswith("/")
        assert len(fetch(server + link.removesuffix("status") + script)) > 1000


@pytest.mark.slow
def test_jupyter_lab_has_the_dask_extension():
    words = [sys.executable, "-m", "jupyterlab.labextensions", "list"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    listed = [line for line in (done.stdout + done.stderr).splitlines() if "dask-labextension" in line]
    assert listed and "enabled" in listed[0] and "OK" in listed[0]
