"""Fixtures around the S3 server and the fault proxy; import them where they are used."""

from __future__ import annotations

import pytest
import s3
from fault_proxy import FaultProxy


@pytest.fixture(scope="session")
def seaweed():
    """The S3 server of this session."""
    return s3.server()


class Figures:
    """Lines for the end of the test report; registered as a plugin by the fixture."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def pytest_terminal_summary(self, terminalreporter) -> None:
        terminalreporter.section("figures")
        for line in self.lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def figures(pytestconfig):
    """Collect figures that the terminal summary prints."""
    found = pytestconfig.pluginmanager.get_plugin("figures")
    if found is None:
        found = Figures()
        pytestconfig.pluginmanager.register(found, "figures")
    return found


@pytest.fixture
def s3_env(seaweed, monkeypatch):
    """Point S3 clients of this process to the server, with the read-write key."""
    apply(monkeypatch, s3.environ(seaweed.endpoint))
    return seaweed


@pytest.fixture
def proxied(seaweed, monkeypatch):
    """Point S3 clients to the server through a fault proxy."""
    with FaultProxy(seaweed.endpoint) as proxy:
        apply(monkeypatch, s3.environ(proxy.endpoint))
        yield proxy


def apply(monkeypatch, values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
