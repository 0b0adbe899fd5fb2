"""What a cluster of pods needs here is looked for before anything is asked of Kubernetes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import venv
from pathlib import Path

import pytest
import yaml

import landsat_downsample as ld

#: As this machine's, but without these.
LEFT_OUT = ("s3fs", "dask_kubernetes")


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of a virtual environment that has all packages of this one, by links, but those left out."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, symlinks=True)
    [there] = folder.glob("lib/python*/site-packages")
    ours = Path(next(path for path in sys.path if path.endswith("site-packages")))
    for entry in ours.iterdir():
        if not entry.name.startswith(LEFT_OUT) and not (there / entry.name).exists():
            (there / entry.name).symlink_to(entry)
    return folder / "bin/python"


@pytest.fixture
def kubernetes(tmp_path):
    """A kubeconfig whose server counts who connects to it, and that count."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        met: list[object] = []

        def count() -> None:
            while True:
                try:
                    met.append(server.accept())
                except OSError:
                    return

        threading.Thread(target=count, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "clusters": [{"name": "x", "cluster": {"server": address}}],
            "users": [{"name": "x", "user": {}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        yield str(path), met
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (None, "dask-kubernetes>=2026.3 (not installed), s3fs>=2025.3.2 (not installed)"),
        ("2024.1.0", "dask-kubernetes>=2026.3 (2024.1.0 is installed), s3fs>=2025.3.2 (not installed)"),
        ("2026.3.0", "needs s3fs>=2025.3.2 (not installed)"),
    ],
)  # fmt: skip
def test_what_is_missing_is_told_before_kubernetes_is_asked(python, kubernetes, tmp_path, there, told):
    config, met = kubernetes
    [site] = python.parents[1].glob("lib/python*/site-packages")
    for info in site.glob("dask_kubernetes-*"):
        (info / "METADATA").unlink()
        info.rmdir()
    if there:
        info = site / f"dask_kubernetes-{there}.dist-info"  # pip's record of it
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dask-kubernetes\nVersion: {there}\n")
    scene = ld.make_scene(tmp_path, size=(41, 43), bands=("SR_B4",))
    words = ("-m", "landsat_downsample", "run", str(scene), "--to", str(tmp_path / "out"), "--factor", "3")
    done = subprocess.run(
        [python, *words, "--cluster", "kubernetes"], env={**os.environ, "KUBECONFIG": config},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert done.stderr.endswith("pip install 'landsat-downsample[kubernetes]'\n")
    assert done.stderr.count("\n") == 1
    assert met == []
