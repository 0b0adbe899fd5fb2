"""Requests to the local service that are none: each gets an answer, and costs nothing before its token was seen."""

from __future__ import annotations

import socket

import pytest

from landsat_downsample.ogc.local import _MAX_BODY, LocalService


@pytest.fixture(scope="module")
def service():
    made = LocalService()
    made.start()
    yield made
    made.stop()


def ask(service: LocalService, start: str, *headers: str, body: bytes = b"", known: bool = True) -> list[str]:
    """First lines of all answers to raw bytes."""
    lines = [start, *headers, *([f"Authorization: Bearer {service.token}"] if known else []), "", ""]
    with socket.create_connection(("127.0.0.1", service._server.server_port), timeout=60) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1") + body)
        connection.shutdown(socket.SHUT_WR)
        data = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    return [line for line in data.decode("latin-1").split("\r\n") if line.startswith("HTTP/1.1 ")]


POST, HOST = "POST /processes HTTP/1.1", "Host: x"
INNER = b"DELETE /processes/a HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (("Content-Length: x",), 400),
        (("Content-Length: -1",), 400),
        (("Content-Length: +5",), 400),
        (("Content-Length: \xb2",), 400),
        (("Content-Length: 1", "Content-Length: 2"), 400),
        (("Content-Length: 99999",), 400),  # ends sooner
        ((f"Content-Length: {_MAX_BODY + 1}",), 413),
        (("Content-Length: " + "9" * 5000,), 413),
        (("Transfer-Encoding: chunked",), 411),
        (("Transfer-Encoding: chunked", "Content-Length: 3"), 411),
    ],
)
def test_a_body_of_a_length_that_is_none(service, headers, status):
    """One answer: what was not read of the body is taken for no other request."""
    assert [line.split()[1] for line in ask(service, POST, HOST, *headers, body=INNER)] == [str(status)]
    assert [line.split()[1] for line in ask(service, POST, HOST, *headers, body=INNER, known=False)] == ["401"]


@pytest.mark.parametrize(
    ("start", "status"),
    [
        ("GET http://[ HTTP/1.1", 400),
        ("GET /%ff HTTP/1.1", 400),
        ("GET /jobs/%00/files/a HTTP/1.1", 400),
        ("PATCH / HTTP/1.1", 501),
        ("GET", 400),
        ("GET / HTTP/x", 400),
        ("GET / HTTP/1.1", 200),
    ],
)
def test_an_address_that_is_none(service, start, status):
    (line,) = ask(service, start, HOST) or ["HTTP/1.1 400"]
    assert f" {status}" in line


def test_a_host_is_named_once(service):
    assert " 400 " in ask(service, "GET / HTTP/1.1")[0]
    assert " 400 " in ask(service, "GET / HTTP/1.1", HOST, HOST)[0]


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[" * 100_000, b"[]", b'{"inputs": 3}', b"{"])
def test_a_body_that_is_no_json_object(service, body):
    package = b"cwlVersion: v1.2\nclass: CommandLineTool\nid: tool\nbaseCommand: [true]\ninputs: {}\noutputs: {}\n"
    length = f"Content-Length: {len(package)}"
    service.processes.clear()
    assert " 201 " in ask(service, POST, HOST, length, "Content-Type: application/cwl", body=package)[0]
    found = ask(service, "POST /processes/tool/execution HTTP/1.1", HOST, f"Content-Length: {len(body)}", body=body)
    assert " 400 " in found[0] and not service.jobs


@pytest.mark.parametrize(
    "body", [b"cwlVersion: 1\n$graph: [1, 2]", b"\xff", b"cwlVersion: 1\ninputs: [3]", b"{" * 5000]
)
def test_a_package_that_is_none(service, body):
    found = ask(service, POST, HOST, f"Content-Length: {len(body)}", "Content-Type: application/cwl", body=body)
    assert " 400 " in found[0]


def test_who_is_unknown_is_asked_for_no_body(service):
    """No "100 Continue", and the answer comes though the body is still on its way."""
    found = ask(service, POST, HOST, "Expect: 100-continue", "Content-Length: 5", known=False)
    assert [line.split()[1] for line in found] == ["401"]
    big = b"a" * 800_000
    found = ask(service, POST, HOST, f"Content-Length: {len(big)}", body=big, known=False)
    assert [line.split()[1] for line in found] == ["401"]
    found = ask(service, POST, HOST, "Expect: 100-continue", "Content-Length: 2", body=b"ab")
    assert [line.split()[1] for line in found] == ["100", "415"]
