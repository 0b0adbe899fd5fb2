"""Write ogcapppkg.json, what OGC API Processes Part 2 deploys, from app-package.cwl.

python cwl/make_ogcapppkg.py            # writes it
python cwl/make_ogcapppkg.py --check    # exit code 1 if it is out of date
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).parent
PACKAGE, DESCRIPTOR = HERE / "app-package.cwl", HERE / "ogcapppkg.json"  # which the library brings along

#: JSON schemas of the CWL types that the package has.
_SCHEMAS = {
    "string": {"type": "string"},
    "int": {"type": "integer", "format": "int32"},
    "float": {"type": "number", "format": "float"},
    # A folder with a STAC catalogue: in a request and in results it is the URL of an item or catalogue.
    "Directory": {"type": "string", "format": "uri", "contentMediaType": "application/json"},
}


def descriptor(package: dict) -> dict:
    """Describe the package's workflow as a process, with the package itself as the execution unit."""
    workflow = next(part for part in package["$graph"] if part["class"] == "Workflow")
    return {
        "processDescription": {
            "id": workflow["id"],
            "version": package["s:softwareVersion"],
            "title": workflow["label"],
            "description": workflow["doc"],
            "keywords": package["s:keywords"],
            "jobControlOptions": ["async-execute"],
            "outputTransmission": ["reference"],
            "inputs": {name: _input(told) for name, told in workflow["inputs"].items()},
            "outputs": {name: _described(told) for name, told in workflow["outputs"].items()},
        },
        "executionUnit": [{"value": package, "mediaType": "application/cwl+json"}],
    }


def _input(told: dict) -> dict:
    kind = told["type"]
    counts = {"minOccurs": 0 if kind.endswith("?") else 1, "maxOccurs": 1}
    if kind.rstrip("?").endswith("[]"):
        counts["maxOccurs"] = "unbounded"
    return _described(told) | counts


def _described(told: dict) -> dict:
    schema = _SCHEMAS[told["type"].rstrip("?").removesuffix("[]")]
    return {"title": told["label"], "description": told["doc"], "schema": schema}


def text() -> str:
    """Give what ogcapppkg.json should hold."""
    package = yaml.safe_load(PACKAGE.read_text(encoding="utf-8"))
    return json.dumps(descriptor(package), indent=2) + "\n"


def main(argv: list[str]) -> int:
    """Write or check the descriptor; return the exit code."""
    made = text()
    if argv == ["--check"]:
        if DESCRIPTOR.read_text(encoding="utf-8") == made:
            return 0
        print(f"{DESCRIPTOR.name} is out of date: run python cwl/make_ogcapppkg.py", file=sys.stderr)
        return 1
    DESCRIPTOR.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
