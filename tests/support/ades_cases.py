"""Processing services to talk to: pygeoapi, and a package for the service of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from landsat_downsample.testing.seaweed import free_port

#: An application package with nothing in it but what the standard asks for.
CWL = """\
cwlVersion: v1.2
$namespaces: {s: https://schema.org/}
s:softwareVersion: "0.1.0"
$graph:
  - class: Workflow
    id: shrink
    label: Make a scene smaller
    doc: Reduces a staged scene.
    inputs:
      scene: {type: Directory, label: the scene, doc: a folder with a STAC catalogue}
      factor: {type: float, default: 10, label: factor, doc: pixels per cell}
      bands: {type: "string?", label: bands, doc: names of bands}
    outputs:
      product: {type: Directory, outputSource: run/product}
    steps:
      run: {run: "#run", in: {scene: scene, factor: factor, bands: bands}, out: [product]}
  - class: CommandLineTool
    id: run
    baseCommand: [landsat-downsample, run]
    arguments: [--to, .]
    inputs:
      scene: {type: Directory, inputBinding: {position: 1}}
      factor: {type: float, inputBinding: {prefix: --factor}}
      bands: {type: "string?", inputBinding: {prefix: --bands}}
    outputs:
      product: {type: Directory, outputBinding: {glob: "*_downsampled"}}
      log: stderr
    stderr: log.txt
"""


def ogc_package(cwl: str = CWL) -> dict:
    """The same as an OGC application package."""
    description = {"id": "shrink", "version": "0.1.0", "title": "Make a scene smaller"}
    return {"processDescription": description, "executionUnit": [{"value": cwl, "mediaType": "application/cwl+yaml"}]}


def _configuration(folder: Path, url: str, port: int) -> dict:
    manager = {"name": "TinyDB", "connection": str(folder / "jobs.json"), "output_dir": str(folder)}
    limits = {"default_items": 10, "max_items": 50}
    return {
        "server": {
            "bind": {"host": "127.0.0.1", "port": port},
            "url": url,
            "mimetype": "application/json; charset=UTF-8",
            "encoding": "utf-8",
            "languages": ["en-US"],
            "limits": limits,
            "manager": manager,
            "map": {"url": "", "attribution": ""},
        },
        "logging": {"level": "ERROR"},
        "metadata": {
            "identification": {"title": {"en": "t"}, "description": {"en": "d"}, "keywords": {"en": ["k"]}, "url": url},
            "license": {"name": "none"},
            "provider": {"name": "nobody", "url": url},
            "contact": {"name": "nobody"},
        },
        "resources": {"downsample": {"type": "process", "processor": {"name": "ades_processor.Downsample"}}},
    }


@contextmanager
def pygeoapi(folder: Path):
    """A pygeoapi server in a process of its own; yields its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    (folder / "config.yml").write_text(json.dumps(_configuration(folder, url, port)))  # JSON is YAML too
    (folder / "openapi.yml").write_text("{}")
    environ = os.environ | {
        "PYGEOAPI_CONFIG": str(folder / "config.yml"),
        "PYGEOAPI_OPENAPI": str(folder / "openapi.yml"),
        "PYTHONPATH": os.path.dirname(__file__),
    }
    code = f"from pygeoapi.flask_app import APP; APP.run(host='127.0.0.1', port={port}, threaded=True)"
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen([sys.executable, "-c", code], env=environ, cwd=folder, stdout=log, stderr=log)
    try:
        _await(server, url, folder / "server.log")
        yield url
    finally:
        server.terminate()
        server.wait()


def _await(server: subprocess.Popen, url: str, log: Path) -> None:
    while server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/conformance"):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"pygeoapi did not start: {log.read_text()}")
