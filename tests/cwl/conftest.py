"""What the tests of the CWL files share: the helpers beside the other tests, servers and scenes."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import cwl_cases
import pytest
from conftest_s3 import apply, figures, proxied, s3_env, seaweed  # noqa: F401 - fixtures
from fault_proxy import FaultProxy, FileServer
from staging_cases import PATIENT, served, small

import landsat_downsample as ld


@pytest.fixture(scope="session")
def scene(tmp_path_factory) -> Path:
    return small(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="session")
def other_scene(tmp_path_factory) -> Path:
    return small(tmp_path_factory.mktemp("other"), sensor="etm")


@pytest.fixture(scope="session")
def product(scene, tmp_path_factory) -> Path:
    """What the library makes of the scene: the oracle."""
    folder = tmp_path_factory.mktemp("product")
    ld.run(ld.plan(scene, folder, factor=10))
    return folder / f"{scene.name}_downsampled"


@pytest.fixture(scope="session")
def web(scene):
    """The scene on a web server, some files that are not what they seem, behind a fault proxy."""
    stored = served(scene)
    name = next(name for name in stored if name.endswith("SR_B4.TIF"))
    stored["/truncated.TIF"] = stored[name][:-2000]
    stored["/page.TIF"] = b"<!DOCTYPE html><html>Sign in</html>" * 40
    with FileServer(stored) as server, FaultProxy(server.endpoint) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Patience, and the command of this interpreter's environment first on the PATH."""
    apply(monkeypatch, PATIENT | {"PATH": cwl_cases.PATH})
