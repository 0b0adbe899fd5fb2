"""Whole processes: CPU, wall and peak memory of each program on the same band, interleaved."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from benchmarks.peers import PEERS

GDAL = {
    "gdal_translate -r average, full resolution": ["gdal_translate", "-q", "-r", "average", "-ovr", "NONE"],
    "gdal_translate -r average, overviews (not the same answer)": ["gdal_translate", "-q", "-r", "average"],
    "gdalwarp -r average, full resolution": ["gdalwarp", "-q", "-r", "average", "-ovr", "NONE"],
}
OURS, BATCH = "ours: one band", "ours: the scene"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took."""

    cpu: float
    wall: float
    memory: float
    """Peak, in MiB, of the largest process."""


@dataclass(frozen=True, slots=True)
class Case:
    command: list[str]
    out: Path
    """The array or raster it leaves."""


def cases(scene: Path, path: Path, factor: int, folder: Path) -> dict[str, Case | str]:
    """Each program by name, or why it is absent."""
    with rasterio.open(path) as source:
        cells = [n // factor for n in (source.width, source.height)]
    size, window = [str(n) for n in cells], ["0", "0", *(str(n * factor) for n in cells)]
    run = [sys.executable, "-m", "landsat_downsample", "run"]
    to = ["--factor", str(factor), "--overwrite", "--to"]
    out = folder / "ours" / f"{path.stem}_downsampled" / f"{path.stem}_downsampled.TIF"
    found: dict[str, Case | str] = {
        OURS: Case([*run, str(path), *to, str(folder / "ours")], out),
        BATCH: Case([*run, str(scene), *to, str(folder / "scene")], Path(os.devnull)),
    }
    for number, (name, command) in enumerate(GDAL.items()):
        out = folder / f"gdal{number}.tif"
        whole = ["-srcwin", *window, "-outsize", *size]
        shape = whole if command[0] == "gdal_translate" else ["-ts", *size, "-overwrite"]
        there = shutil.which(command[0])
        found[name] = Case([*command, *shape, str(path), str(out)], out) if there else f"absent: {command[0]}"
    for number, name in enumerate(PEERS):
        out = folder / f"peer{number}.npy"
        found[name] = Case([sys.executable, "-m", "benchmarks.peers", name, str(path), str(factor), str(out)], out)
    return found


#: Linux counts the memory of the process that forks to the one that is forked: so a small one forks.
LAUNCHER = """
import json, os, subprocess, sys, time
begun = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
facts = [usage.ru_utime + usage.ru_stime, time.perf_counter() - begun, usage.ru_maxrss / 1024, process.returncode]
print(json.dumps(facts))
"""


def run(command: list[str]) -> tuple[Cost | None, str]:
    """Run one process and its children; no cost, and the last words, where it fails."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, *command], capture_output=True, text=True, check=False
    )
    cpu, wall, memory, code = json.loads(done.stdout)
    said = done.stderr.strip().splitlines()
    if code:
        return None, said[-1][:120] if said else f"exit code {code}"
    return Cost(cpu, wall, memory), ""


def measure(scene: Path, path: Path, factor: int, repeats: int, right: np.ndarray) -> list[dict]:
    """A row for each program: its costs and how its answer compares with the exact one."""
    with tempfile.TemporaryDirectory() as folder:
        waiting = cases(scene, path, factor, Path(folder))
        rows = {name: {"name": name, "costs": [], "answer": ""} for name in waiting}
        for _ in range(repeats):
            for name, case in waiting.items():
                if isinstance(case, str) or rows[name]["answer"].startswith(("absent", "failed")):
                    rows[name]["answer"] = case if isinstance(case, str) else rows[name]["answer"]
                    continue
                cost, words = run(case.command)
                if cost is None:
                    rows[name]["answer"] = words if words.startswith("absent") else f"failed: {words}"
                    continue
                rows[name]["costs"].append(cost)
                rows[name]["answer"] = "" if name == BATCH else compare(case.out, right)
    return list(rows.values())


def compare(out: Path, right: np.ndarray) -> str:
    """How an answer differs from the exact one."""
    if out.suffix == ".npy":
        values = np.load(out)
    else:
        with rasterio.open(out) as source:
            values = source.read(1)
    # Peers are asked for whole cells only: some stretch the last ones.
    right = right[: values.shape[0], : values.shape[1]]
    if values.shape != right.shape:
        return f"other grid {values.shape}"
    error = np.abs(values.astype(np.int64) - right)
    if not error.any():
        return "exact"
    share = 100 * np.count_nonzero(error) / error.size
    return f"{share:.2f} % of cells differ, by {error.max()} at most"
