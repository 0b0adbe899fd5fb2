"""Whole processes: CPU, wall and peak memory of each program on the same bands, interleaved.

Fairness, with all files in the page cache:

- gdal_translate writes plain, uncompressed tiles (its default, and the cheapest); ours writes COGs with overviews,
  compressed, with statistics and checksums, and metadata and a browse picture beside them;
- gdal_translate takes QA_PIXEL by nearest neighbour, which is cheaper than its mode, and keeps no flags' rule;
- it runs with its default block cache; more threads of its own (GDAL_NUM_THREADS) are shown as another row;
- several files are given to it by xargs, which adds a few milliseconds; in parallel the short one comes last;
- every program but gdalwarp, ours and pyresample is asked for whole cells by a window; gdalwarp by its extent;
- ours starts a Python and its imports for each process, as the peers in Python do; its modules are compiled
  beforehand, as an installation has them.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import rasterio

from benchmarks.floor import exact_mean, numpy_sums
from benchmarks.interleave import rounds
from benchmarks.peers import ASYNC, COARSEN, DECODE, MEAN, ODC, OTHER, PEERS, SLOW, STACKSTAC, THREADS
from benchmarks.scenes import EIGHT, band_of

ONE, SCENE, NOTHING = f"one band ({EIGHT[3]})", f"a scene of {len(EIGHT)} bands", "nothing"
OURS, HELP = "ours: landsat-downsample run", "ours: landsat-downsample --help"
TRANSLATE = "gdal_translate -r average, full resolution"
PARALLEL = f"{TRANSLATE}, on all cores"
SCENE_PEERS = (THREADS, DECODE, MEAN, ASYNC, COARSEN, ODC, STACKSTAC)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took, its children included."""

    cpu: float
    """Seconds of user and system."""
    wall: float
    """Seconds."""
    memory: float
    """Peak, in MiB, of the largest process."""


@dataclass(frozen=True, slots=True)
class Case:
    """A program and its work."""

    group: str
    """`ONE`, `SCENE` or `NOTHING`: what it is given."""
    name: str
    command: tuple[str, ...] = ()
    out: dict[str, Path] = field(default_factory=dict)
    """The array or raster it leaves, by band."""
    absent: str = ""
    """Why it cannot be run."""


@dataclass(slots=True)
class Row:
    """A program, what it took, one cost a round, and how its answer compares with the exact one."""

    group: str
    name: str
    costs: list[Cost] = field(default_factory=list)
    answer: str = ""

    def middle(self, kind: str) -> float:
        """Median of ``cpu``, ``wall`` or ``memory``; NaN where nothing was measured."""
        return median(getattr(cost, kind) for cost in self.costs) if self.costs else float("nan")


def measure(scene: Path, factor: int, repeats: int) -> list[Row]:
    """A row for each program."""
    right = {band: exact_mean(*numpy_sums(band_of(scene, band), factor)) for band in EIGHT if band.startswith("SR")}
    with tempfile.TemporaryDirectory() as folder:
        cases = _cases(scene, factor, Path(folder))
        rows = [Row(case.group, case.name, answer=case.absent) for case in cases]
        for number, order in enumerate(rounds(range(len(cases)), repeats)):
            for index in order:
                late = number and cases[index].name in SLOW
                if not late and not rows[index].answer.startswith(("absent", "failed")):
                    _once(cases[index], rows[index], right)
    return rows


def _once(case: Case, row: Row, right: dict[str, np.ndarray]) -> None:
    cost, words = run(case.command)
    if cost is None:
        row.answer = words if words.startswith("absent") else f"failed: {words}"
        return
    row.costs.append(cost)
    if case.out:
        row.answer = compare({band: (out, right[band]) for band, out in case.out.items()})


def _cases(scene: Path, factor: int, folder: Path) -> list[Case]:
    one, many = [band_of(scene, EIGHT[3])], [band_of(scene, band) for band in EIGHT]
    cases = [*_ours(scene, factor, folder), *_gdal(one, many, factor, folder)]
    cases += [_peer(ONE, name, one, factor, folder / f"one{n}") for n, name in enumerate(PEERS)]
    return cases + [_peer(SCENE, name, many, factor, folder / f"scene{n}") for n, name in enumerate(SCENE_PEERS)]


def _ours(scene: Path, factor: int, folder: Path) -> list[Case]:
    """The command as it is installed; the scene's folder holds two bands more, which are not asked for."""
    program = str(Path(sys.executable).with_name("landsat-downsample"))
    start = (program,) if os.access(program, os.X_OK) else (sys.executable, "-m", "landsat_downsample")
    path, to = (
        band_of(scene, EIGHT[3]),
        ("--factor", str(factor), "--grid", "scene", "--overwrite", "--to", str(folder)),
    )
    single = folder / f"{path.stem}_downsampled" / f"{path.stem}_downsampled.TIF"
    all_of_it = {band: folder / f"{scene.name}_downsampled" / f"{scene.name}_{band}.TIF" for band in EIGHT}
    return [
        Case(ONE, OURS, (*start, "run", str(path), *to), {EIGHT[3]: single}),
        Case(SCENE, OURS, (*start, "run", str(scene), "--bands", ",".join(EIGHT), *to), _averaged(all_of_it)),
        Case(NOTHING, HELP, (*start, "--help")),
    ]


def _averaged(out: dict[str, Path]) -> dict[str, Path]:
    return {band: path for band, path in out.items() if band.startswith("SR")}


def _gdal(one: list[Path], many: list[Path], factor: int, folder: Path) -> list[Case]:
    with rasterio.open(one[0]) as source:
        cells, bounds = [n // factor for n in (source.width, source.height)], source.bounds
        west, north, step = bounds.left, bounds.top, source.res[0] * factor
    size, window = [str(n) for n in cells], ["0", "0", *(str(n * factor) for n in cells)]
    whole = ["-srcwin", *window, "-outsize", *size]
    extent = [str(n) for n in (west, north - cells[1] * step, west + cells[0] * step, north)]
    warp = ["gdalwarp", "-q", "-overwrite", "-r", "average", "-te", *extent, "-ts", *size]
    full, threads = ["-ovr", "NONE"], ["--config", "GDAL_NUM_THREADS", "ALL_CPUS"]
    translate = ["gdal_translate", "-q", "-r", "average", *whole]
    commands = {
        TRANSLATE: [*translate, *full],
        f"{TRANSLATE}, GDAL_NUM_THREADS=ALL_CPUS": [*translate, *full, *threads],
        f"gdal_translate -r average, overviews {OTHER}": translate,
        "gdalwarp -r average, full resolution": [*warp, *full],
        f"gdalwarp -r average, overviews {OTHER}": warp,
    }
    cases = []
    for number, (name, command) in enumerate(commands.items()):
        out = folder / f"gdal{number}.tif"
        cases.append(_if_there(Case(ONE, name, (*command, str(one[0]), str(out)), {EIGHT[3]: out})))
    return cases + [_if_there(case) for case in _by_xargs(many, [*full, *whole], folder)]


def _by_xargs(paths: list[Path], options: list[str], folder: Path) -> list[Case]:
    """gdal_translate over all bands, one after another and side by side."""
    cases = []
    for name, width in ((TRANSLATE, 1), (PARALLEL, os.cpu_count() or 1)):
        out = {band: folder / f"{width}_{band}.tif" for band in EIGHT}
        methods = ["nearest" if band == "QA_PIXEL" else "average" for band in EIGHT]
        jobs = zip(methods, paths, out.values(), strict=True)
        lines = [shlex.join(["-r", method, *options, str(path), str(to)]) for method, path, to in jobs]
        listed = folder / f"list{width}.txt"
        listed.write_text("\n".join(lines) + "\n")
        command = ("xargs", "-a", str(listed), "-P", str(width), "-L", "1", "gdal_translate", "-q")
        cases.append(Case(SCENE, name, command, _averaged(out)))
    return cases


def _if_there(case: Case) -> Case:
    needed = {case.command[0], "gdalwarp" if case.command[0] == "gdalwarp" else "gdal_translate"}
    missing = sorted(program for program in needed if not shutil.which(program))
    return Case(case.group, case.name, absent=f"absent: no {missing[0]} on the PATH") if missing else case


def _peer(group: str, name: str, paths: Sequence[Path], factor: int, out: Path) -> Case:
    command = (sys.executable, "-m", "benchmarks.peers", name, str(factor), str(out), *map(str, paths))
    bands = (EIGHT[3],) if group == ONE else EIGHT
    arrays = {band: out / f"{path.stem}.npy" for band, path in zip(bands, paths, strict=True)}
    return Case(group, name, command, _averaged(arrays))


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


def run(command: Sequence[str]) -> tuple[Cost | None, str]:
    """Run one process and its children; no cost, and the last words, where it fails."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return None, f"cannot start {command[0]}"
    cpu, wall, memory, code = json.loads(done.stdout)
    said = done.stderr.strip().splitlines()
    if code:
        return None, said[-1][:160] if said else f"exit code {code}"
    return Cost(cpu, wall, memory), ""


def compare(answers: dict[str, tuple[Path, np.ndarray]]) -> str:
    """How answers differ from the exact ones: over all bands together."""
    wrong, cells, worst = 0, 0, 0
    for out, exact in answers.values():
        values = _values(out)
        # Peers are asked for whole cells only; ours has one more where the last is incomplete.
        right = exact[: values.shape[0], : values.shape[1]]
        if values.shape != right.shape:
            return f"other grid {values.shape}"
        error = np.abs(values.astype(np.int64) - right)
        wrong, cells, worst = wrong + np.count_nonzero(error), cells + error.size, max(worst, int(error.max()))
    return f"{100 * wrong / cells:.2f} % of cells differ, by {worst} at most" if wrong else "exact"


def _values(out: Path) -> np.ndarray:
    if out.suffix == ".npy":
        return np.load(out)
    with rasterio.open(out) as source:
        return source.read(1)
