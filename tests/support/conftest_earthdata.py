"""Fixtures around the hosts of Earthdata; import them where they are used."""

from __future__ import annotations

import shutil
from pathlib import Path

import aiohttp
import earthdata_hosts as hosts
import pytest
from conftest_s3 import apply
from earthdata_hosts import DATA, LOGIN, NAME, PASSWORD, TOKEN

from landsat_downsample.storage import earthdata, filesystems


@pytest.fixture(scope="session", name="pem")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = hosts.certificate(tmp_path_factory.mktemp("earthdata"))
    aiohttp.connector._SSL_CONTEXT_VERIFIED.load_verify_locations(path)  # which was made when it was imported
    return path


@pytest.fixture(name="world")
def hosts_of_earthdata(pem, monkeypatch):
    """The hosts, and clients that know nobody yet; every request to each of them is looked at in the end."""
    monkeypatch.setattr(filesystems, "_filesystems", {})
    monkeypatch.setattr(earthdata, "_refused", set())
    with hosts.Hosts({}, tls=hosts.tls(pem)) as world, hosts.Proxy(target=world.port) as proxy:
        apply(monkeypatch, hosts.settings(proxy, pem))
        yield world
        hosts.check_secrets_stayed_home(world)


def by_token(monkeypatch, token: str = TOKEN) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", token)


def by_netrc(monkeypatch, folder: Path, password: str = PASSWORD) -> Path:
    path = folder / "netrc"
    path.write_text(
        f"machine {LOGIN} login {NAME} password {password}\nmachine {DATA} login other password other-never-shown\n"
        "default login anyone password default-never-shown\n"
    )
    monkeypatch.setenv("NETRC", str(path))
    return path


WAYS = {"token": lambda patch, folder: by_token(patch), "netrc": by_netrc}
