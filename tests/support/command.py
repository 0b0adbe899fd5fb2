"""Running the command line as a user does, and what it may leave behind. Shared by several test files."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from landsat_downsample.cli.main import main


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()

    @property
    def said(self) -> list[str]:
        """Its lines without the time and the level that those of a run begin with."""
        return [re.sub(r"^\S+Z [A-Z]+ (?=landsat-downsample: )", "", line) for line in self.lines]


def call(*argv: object) -> Result:
    """Run a command inside this process; what it warns of is told on stderr, as in a process of its own."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            code = main([str(word) for word in argv])
    except SystemExit as leaving:
        code = leaving.code
    return Result(code, out.getvalue(), err.getvalue())


#: What the installed script does.
INSTALLED = "from landsat_downsample.cli.main import command; command()"


def command(*argv: object) -> list[str]:
    return [sys.executable, "-c", INSTALLED, *(str(word) for word in argv)]


def spawn(*argv: object, **settings) -> subprocess.Popen:
    """Start a command in a process of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(*argv), **(pipes | settings))


_BEGINNING = """\
import os, sys
from landsat_downsample.cli.main import main
os.write(int(sys.argv.pop(1)), b"!")
sys.exit(main())
"""


def spawn_begun(*argv: object) -> subprocess.Popen:
    """Start a command in a process of its own, and wait until Python itself has started."""
    reading, writing = os.pipe()
    words = [sys.executable, "-c", _BEGINNING, str(writing), *(str(word) for word in argv)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=[writing])
    os.close(writing)
    with open(reading, "rb") as pipe:
        pipe.read(1)
    return process


#: What a process says of itself: what `wait4` says of it includes its parent's memory before the exec.
_TELLING = """\
import re, sys
from landsat_downsample.cli.main import main
code = main(sys.argv[1:])
print("peak", re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
sys.exit(code)
"""


def peak_mib(*argv: object) -> tuple[int, float]:
    """Exit code and greatest resident memory of a command in a process of its own, in MiB."""
    words = [sys.executable, "-c", _TELLING, *(str(word) for word in argv)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, int(done.stderr.rpartition("peak ")[2]) / 1024


def wait_until(true: Callable[[], object], *alive: subprocess.Popen) -> None:
    """Wait for what must come while processes live; pytest's own limit ends what never does."""
    while not true():
        for process in alive:
            assert process.poll() is None, f"it ended too early: {process.communicate()}"
        time.sleep(0.01)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a folder, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def products(dest: Path) -> dict[str, dict[str, str]]:
    """Digests of the files of each product at a destination."""
    return {path.name: digests(path) for path in sorted(dest.glob("*_downsampled"))}


#: What runs of several scenes keep beside the products.
BESIDE = ("_catalogue.json.gz", "_runs", "collection.json", "items.parquet")


def holds(dest: Path) -> list[str]:
    """Every name in a destination, hidden ones too."""
    return sorted(os.listdir(dest)) if dest.is_dir() else []


def write_tif(path: Path, data=None, **profile) -> Path:
    """Write a small GeoTIFF, or one that differs as the profile says."""
    data = np.arange(40 * 50, dtype="uint16").reshape(40, 50) if data is None else np.asarray(data)
    layers = data if data.ndim == 3 else data[None]
    usual = {
        "driver": "GTiff",
        "count": len(layers),
        "height": layers.shape[1],
        "width": layers.shape[2],
        "dtype": layers.dtype,
        "crs": "EPSG:32633",
        "transform": Affine(30, 0, 300000, 0, -30, 5200000),
    }
    with rasterio.open(path, "w", **(usual | profile)) as target:
        target.write(layers)
    return path
