"""Memory that one band takes beyond imports: ``python -m benchmarks.memory SMALL SCENE BAND FACTOR OUT`` prints MiB.

A fresh process imports everything, warms up on a small scene, and then reduces and stores the band, QA_PIXEL with its
fractions, while the kernel keeps its peak. Of the compressed bytes of a local file only a tile at a time is in memory:
nothing is subtracted.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import landsat_downsample as ld
from benchmarks.steady import target_of
from landsat_downsample.pipeline.band import process
from landsat_downsample.storage.publication import Publication


def extra(small: Path, scene: Path, band: str, factor: float, out: str) -> float | None:
    """MiB that this process grows by, at its peak, from before a band to its end; None where only Linux knows.

    The small scene was made by another process: what making it takes would hide here.
    """
    for source, number in ((small, 4), (scene, factor)):
        target = target_of(source, band, number)
        publication = Publication(out, f"{band}_{number:g}")
        before = _reset()
        process(target, publication)
    return None if before is None else (_status("VmHWM") - before) / 1024


def measure(scene: Path, band: str, factor: float) -> float | None:
    """The same in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        small = ld.make_scene(folder, size=(300, 300), bands=[band])
        command = [sys.executable, "-m", "benchmarks.memory", str(small), str(scene), band, str(factor), folder]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return None if said == "None" else float(said)


def _reset() -> int | None:
    """Let the kernel begin a new peak; return the KiB in memory now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return None


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    print(extra(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), sys.argv[5]))
