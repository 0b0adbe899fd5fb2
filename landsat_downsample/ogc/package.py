"""An application package on its way to a service: what it is called, and as what it is sent."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib import resources
from typing import Any

from landsat_downsample.errors import UsageError
from landsat_downsample.model.location import redact
from landsat_downsample.storage import files

OGC_PACKAGE = "application/ogcapppkg+json"

#: The draft says the first; services exist that want to be told that it is YAML.
CWL = ("application/cwl", "application/cwl+yaml")


@dataclass(frozen=True, slots=True)
class Package:
    """What is sent to deploy a process."""

    id: str
    """Of the process that it makes; empty where only the service knows it."""
    body: bytes
    media: tuple[str, ...]
    """Media types to send it as, until one is taken."""


def read_package(given: str | os.PathLike[str] | dict[str, Any] | None, workflow: str | None) -> Package:
    """Read a package: an OGC application package (JSON), or CWL; None stands for the one of this library.

    Raises
    ------
    UsageError
        It is neither.
    ReadError
        It cannot be read.
    """
    if given is None:
        given = json.loads(resources.files(__package__).joinpath("ogcapppkg.json").read_bytes())
    if isinstance(given, dict):
        return _package(given, json.dumps(given).encode(), workflow, "package")
    href = os.fspath(given)
    body = files.read_bytes(href)
    return _package(_parsed(body), body, workflow, f"package {redact(href)!r}")


def _parsed(body: bytes) -> object:
    import yaml  # JSON is YAML too; it comes with dask

    try:
        return yaml.safe_load(body)
    except (yaml.YAMLError, UnicodeDecodeError):
        # CWL is YAML 1.2, some of which this reader of 1.1 refuses: ``{type: string?}``.
        return {"cwlVersion": None} if body.lstrip().startswith((b"cwlVersion", b"#", b"$")) else None


def _package(record: object, body: bytes, workflow: str | None, name: str) -> Package:
    record = record if isinstance(record, dict) else {}
    if "executionUnit" in record:
        described: Any = record.get("processDescription") or {}
        described = described.get("process", described)  # an elder draft has one level more
        return Package(_id(workflow or described.get("id")), body, (OGC_PACKAGE,))
    if "cwlVersion" in record:
        return Package(_id(workflow or _workflow(record)), body, CWL)
    raise UsageError(f"{name} is no application package: it has neither executionUnit nor cwlVersion")


def _id(found: object) -> str:
    return str(found or "").rpartition("#")[2]


def _workflow(record: dict[str, Any]) -> str | None:
    """Id of the first workflow, which is what a service takes when none is named."""
    graph = record.get("$graph") or [record]
    found = [part.get("id") for part in graph if isinstance(part, dict) and part.get("class") == "Workflow"]
    return found[0] if found else record.get("id")
