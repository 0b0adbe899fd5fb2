"""Running CWL files as users do: with cwltool, natively or in containers, in this process or as a command."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import s3

ROOT = Path(__file__).parents[2]
CWL = ROOT / "cwl"
FILES = ("stage_in", "downsample", "stage_out", "notebook", "workflow", "scatter", "app-package")
BIN = Path(sys.executable).parent
PATH = f"{BIN}{os.pathsep}{os.environ['PATH']}"
#: What a step needs of the environment to find the S3 server of the tests; none of it is secret there.
AMBIENT = [name for name, value in s3.environ("http://127.0.0.1").items() if value is not None]
KEPT = ["LANDSAT_DOWNSAMPLE_BUDGET", "LANDSAT_DOWNSAMPLE_TIMEOUT"]


@dataclass(frozen=True)
class Done:
    """How a run of a CWL file ended."""

    status: str
    """success, temporaryFail or permanentFail; of a command only success or permanentFail."""
    outputs: dict
    log: str = ""

    def path(self, name: str) -> Path:
        return Path(self.outputs[name]["location"].removeprefix("file://"))

    def text(self, name: str) -> str:
        return self.path(name).read_text()


def run(name: str, job: dict, outdir: Path, *, ambient: bool = False) -> Done:
    """Run a CWL file inside this process: cwltool's start, two seconds, is paid once."""
    from cwltool.errors import WorkflowException
    from cwltool.factory import WorkflowStatus

    tool = _factory().make(target(name))
    context = tool.factory.runtime_context
    context.outdir, context.basedir = str(outdir), str(outdir)
    context.preserve_environment = KEPT + (AMBIENT if ambient else [])
    try:
        return Done("success", tool(**job))
    except WorkflowStatus as ended:
        return Done(ended.status, ended.out or {})
    except WorkflowException as error:
        return Done("permanentFail", {}, str(error))


def target(name: str) -> str:
    """Name what to run: the file, and in the package the workflow too."""
    return f"{(CWL / name).as_uri()}.cwl" + ("#landsat-downsample" if name == "app-package" else "")


@lru_cache(maxsize=1)
def _factory():
    from cwltool.context import LoadingContext, RuntimeContext
    from cwltool.factory import Factory

    logging.getLogger("cwltool").setLevel(logging.ERROR)
    logging.getLogger("salad").setLevel(logging.ERROR)
    return Factory(loading_context=LoadingContext(), runtime_context=RuntimeContext({"use_container": False}))


def words(path: Path | str, job: Path, outdir: Path, *options: str, ambient: bool = False) -> list[str]:
    """Give the command line that a user types."""
    kept = [word for name in KEPT + (AMBIENT if ambient else []) for word in ("--preserve-environment", name)]
    return [str(BIN / "cwltool"), "--enable-ext", *kept, *options, "--outdir", str(outdir), str(path), str(job)]


def command(path: Path | str, job: dict, outdir: Path, *options: str, ambient: bool = False, **settings) -> Done:
    """Run a CWL file with the real command, natively unless the options say otherwise."""
    options = options or ("--no-container",)
    outdir.parent.mkdir(parents=True, exist_ok=True)
    argv = words(path, write_job(job, outdir.parent / f"{outdir.name}.json"), outdir, *options, ambient=ambient)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **settings)
    outputs = json.loads(done.stdout) if done.stdout.strip() else {}
    return Done("permanentFail" if done.returncode else "success", outputs, done.stderr)


def write_job(job: dict, path: Path) -> Path:
    """Write the inputs into a file that only its owner reads."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(job))
    return path


def folder(path: Path) -> dict:
    return {"class": "Directory", "location": path.as_uri()}


def file(path: Path) -> dict:
    return {"class": "File", "location": path.as_uri()}


def credentials(server, keys: tuple[str, str] = s3.RW) -> str:
    """Give the text of a credentials file for the S3 server of the tests."""
    return (
        f"[default]\naws_access_key_id = {keys[0]}\naws_secret_access_key = {keys[1]}\n"
        f"region = us-east-1\nendpoint_url = {server.endpoint}\n"
    )


def parts(name: str) -> dict[str, dict]:
    """Give the processes of a CWL file by id; a file with one has it under its own name."""
    import yaml

    record = yaml.safe_load((CWL / f"{name}.cwl").read_text())
    return {part["id"]: part for part in record["$graph"]} if "$graph" in record else {name: record}


def with_image(folder: Path, image: str) -> Path:
    """Copy the CWL files, with another image than the published one."""
    shutil.copytree(CWL, folder)
    for path in folder.glob("*.cwl"):
        path.write_text(re.sub(r"(dockerPull: )[^\s}]+", rf"\g<1>{image}", path.read_text()))
    return folder


def images() -> Sequence[str]:
    """List the images that the files name, each once."""
    found = {tool["hints"]["DockerRequirement"]["dockerPull"] for name in FILES for tool in tools(name)}
    return sorted(found)


def tools(name: str) -> list[dict]:
    return [part for part in parts(name).values() if part["class"] == "CommandLineTool"]
