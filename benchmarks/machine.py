"""What it was measured on, in words."""

from __future__ import annotations

import datetime
import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import rasterio

from landsat_downsample.pipeline import tiles

PACKAGES = ("numpy", "rasterio", "xarray", "rioxarray", "dask", "distributed", "odc-stac", "stackstac")
PACKAGES += ("rio-tiler", "pyresample", "xarray-spatial", "exactextract")


def load() -> str:
    """Load averages over 1, 5 and 15 minutes."""
    return " ".join(f"{number:.1f}" for number in os.getloadavg())


def described(before: str, after: str) -> list[str]:
    """Lines about machine and versions; the loads are those before and after the run."""
    fast = "in use" if tiles.available else "NOT in use"
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return [
        f"- {datetime.date.today()}: {processor()}, {os.cpu_count()} cores, {memory()}, "
        f"{platform.system()} {platform.release()}",
        f"- load average {before} before, {after} after",
        f"- Python {platform.python_version()}; {versions}",
        f"- GDAL {rasterio.__gdal_version__} in rasterio, {command_line()} on the command line; "
        f"extension and tile reader {fast}",
    ]


def processor() -> str:
    """Model of the processor."""
    return _line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def memory() -> str:
    """Memory of the machine, in GiB."""
    total = _line("/proc/meminfo", "MemTotal").split()
    return f"{int(total[0]) / 2**20:.0f} GiB" if total else "memory unknown"


def command_line() -> str:
    """Version of the GDAL whose programs are on the PATH."""
    if not shutil.which("gdal_translate"):
        return "none"
    said = subprocess.run(["gdal_translate", "--version"], capture_output=True, text=True, check=False).stdout
    return said.partition(",")[0].removeprefix("GDAL ")


def _line(path: str, key: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
