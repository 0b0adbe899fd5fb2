"""Packages that were deployed to the service of this machine, and how their CWL describes a process."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from landsat_downsample.errors import UsageError
from landsat_downsample.ogc.package import CWL, OGC_PACKAGE

_PROBLEM = "http://www.opengis.net/def/exceptions/"

#: What CWL calls a type, and what JSON Schema does.
_SCHEMAS = {
    "boolean": {"type": "boolean"},
    "int": {"type": "integer"},
    "long": {"type": "integer"},
    "float": {"type": "number"},
    "double": {"type": "number"},
    "string": {"type": "string"},
}
_LINK = {"type": "string", "format": "uri"}


class Problem(Exception):
    """An answer that refuses: a status, the problem's type, and its words."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind

    def record(self) -> dict[str, Any]:
        """As RFC 7807 has it."""
        part = "ogcapi-processes-2/1.0/" if self.kind in _PART2_KINDS else "ogcapi-processes-1/1.0/"
        title = self.kind.replace("-", " ")
        return {"type": f"{_PROBLEM}{part}{self.kind}", "title": title, "status": self.status, "detail": str(self)}


_PART2_KINDS = ("duplicated-process", "immutable-process", "unsupported-media-type", "workflow-not-found")


def parse(cwl: bytes) -> dict[str, Any]:
    """Read CWL, which is YAML 1.2, as cwltool does.

    Raises
    ------
    UsageError
        It is none.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        record = YAML(typ="safe", pure=True).load(cwl)
    except (YAMLError, UnicodeDecodeError):
        record = None
    if not isinstance(record, dict) or "cwlVersion" not in record:
        raise UsageError("it is no CWL")
    return record


@dataclass(frozen=True, slots=True)
class Process:
    """A package that was deployed."""

    id: str
    description: dict[str, Any]
    cwl: bytes
    package: bytes
    media: str
    """Media type of the package as it came."""

    def workflow(self) -> dict[str, Any]:
        """The workflow in the CWL that this process is."""
        record = parse(self.cwl)
        parts = record.get("$graph") or [record]
        return next((part for part in parts if _bare(part.get("id")) == self.id), parts[0])

    def kinds(self) -> dict[str, Any]:
        """CWL types by the names of its inputs, whether they may be left out or not."""
        return {name: _type(entry)[0] for name, entry in _entries(self.workflow(), "inputs")}

    def check(self, inputs: dict[str, Any]) -> None:
        """Refuse inputs that it has not, and ones that lack."""
        known = self.description.get("inputs", {})
        if unknown := sorted(set(inputs) - set(known)):
            message = f"there is no input {', '.join(unknown)}; there are {', '.join(known)}"
            raise Problem(400, "invalid-parameter", message)
        missing = [name for name, entry in known.items() if entry.get("minOccurs", 1) and name not in inputs]
        if missing:
            raise Problem(400, "invalid-parameter", f"input {', '.join(missing)} is missing")

    def summary(self) -> dict[str, Any]:
        """What a list of processes says of it."""
        keys = ("id", "version", "title", "description", "keywords", "jobControlOptions", "mutable")
        return {key: self.description[key] for key in keys if key in self.description}


def _of_cwl(process_id: str, workflow: dict[str, Any], version: str) -> dict[str, Any]:
    """A process description made from CWL."""
    return {
        "id": process_id,
        "version": version,
        "title": workflow.get("label") or process_id,
        "description": workflow.get("doc") or "",
        "inputs": {name: _input(entry) for name, entry in _entries(workflow, "inputs")},
        "outputs": {name: _output(entry) for name, entry in _entries(workflow, "outputs")},
    }


def _entries(workflow: dict[str, Any], key: str) -> Iterable[tuple[str, Any]]:
    found = workflow.get(key) or {}
    return found.items() if isinstance(found, dict) else [(entry["id"].rpartition("/")[2], entry) for entry in found]


def _type(entry: object) -> tuple[object, bool]:
    """Type of an input or output, and whether it may be left out."""
    kind = entry.get("type") if isinstance(entry, dict) else entry
    if isinstance(kind, list):
        others = [other for other in kind if other != "null"]
        return others[0], len(others) < len(kind)
    return (kind.removesuffix("?"), kind.endswith("?")) if isinstance(kind, str) else (kind, False)


def _schema(kind: object) -> dict[str, Any]:
    if isinstance(kind, str) and kind.endswith("[]"):
        return {"type": "array", "items": _schema(kind[:-2])}
    if isinstance(kind, dict):
        return (
            {"enum": kind["symbols"]}
            if kind.get("type") == "enum"
            else {"type": "array", "items": _schema(kind["items"])}
        )
    return _SCHEMAS.get(str(kind), _LINK)


def _output(entry: object) -> dict[str, Any]:
    info = entry if isinstance(entry, dict) else {}
    return {"title": info.get("label", ""), "description": info.get("doc", ""), "schema": _schema(_type(entry)[0])}


def _input(entry: object) -> dict[str, Any]:
    kind, optional = _type(entry)
    info = entry if isinstance(entry, dict) else {}
    default = {"default": info["default"]} if "default" in info else {}
    return {
        "title": info.get("label", ""),
        "description": info.get("doc", ""),
        "schema": _schema(kind) | default,
        "minOccurs": 0 if optional or default else 1,
    }


def deployable(media: str, body: bytes, wanted: str | None) -> Process:
    """Read what was sent to be deployed.

    Parameters
    ----------
    wanted : str or None
        Id of the workflow; the first by default.

    Raises
    ------
    Problem
        It is of another media type, or no package.
    """
    if media == OGC_PACKAGE:
        record = document(body)
        described = record.get("processDescription") or {}
        cwl, described = _unit(record), described.get("process", described)
    elif media in CWL:
        cwl, described = body, {}
    else:
        kinds = ", ".join((OGC_PACKAGE, *CWL))
        raise Problem(415, "unsupported-media-type", f"{media or 'no media type'} is not one of {kinds}")
    process_id, description = _described(cwl, described, wanted)
    return Process(process_id, description, cwl, body, media)


def document(body: bytes) -> dict[str, Any]:
    """Read the JSON object that a request brings."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Problem(400, "invalid-parameter", "the body is no JSON object")
    return found


def _unit(record: dict[str, Any]) -> bytes:
    """The CWL in a package, which may be text or JSON."""
    units = record.get("executionUnit") or []
    unit = units[0] if isinstance(units, list) and units else units
    value = unit.get("value", unit.get("unit")) if isinstance(unit, dict) else None
    if value is None:
        raise Problem(400, "invalid-parameter", "the package has no execution unit by value")
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def _described(cwl: bytes, described: dict[str, Any], wanted: str | None) -> tuple[str, dict[str, Any]]:
    """Id and description of the process that a CWL is; what the package says of it goes first."""
    try:
        record = parse(cwl)
    except UsageError as error:
        raise Problem(400, "invalid-parameter", f"the execution unit cannot be read: {error}") from error
    parts = record.get("$graph") or [record]
    workflows = [part for part in parts if part.get("class") == "Workflow"] or parts
    named = [part for part in workflows if wanted in (None, _bare(part.get("id")))]
    if not named:
        raise Problem(400, "workflow-not-found", f"there is no workflow {wanted!r} in the package")
    process_id = _bare(named[0].get("id") or described.get("id") or "process")
    version = str(record.get("s:softwareVersion", "0"))
    description = {"outputTransmission": ["value", "reference"]} | _of_cwl(process_id, named[0], version) | described
    fixed = {"id": process_id, "jobControlOptions": ["async-execute", "dismiss"], "mutable": True}
    return process_id, description | fixed


def _bare(name: object) -> str:
    return str(name or "").lstrip("#")
