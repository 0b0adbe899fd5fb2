"""Client, scheduler and workers must run the same code: differences are errors, raised before any work.

A function pickled by one minor version of Python kills a worker of another, and other GDAL or
NumPy releases may write other bytes. dask itself only warns of some of this.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Coroutine
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landsat_downsample.errors import LandsatDownsampleError, UsageError

if TYPE_CHECKING:
    from distributed import Client

#: This package, as pip knows it.
PACKAGE = "landsat-downsample"

#: Asked for by name, so that nothing needs to be unpickled to learn of a difference.
PACKAGES = ("numpy", "rasterio", "landsat_downsample")
COMPARED = ("python", "dask", "distributed", *PACKAGES)


class VersionError(LandsatDownsampleError):
    """Client, scheduler and workers differ in a version that matters."""


@cache
def identity() -> dict[str, str]:
    """What package metadata do not say: GDAL's version, and the code of this library."""
    import rasterio

    return {"GDAL": rasterio.__gdal_version__, "code of landsat-downsample": _code()}


def _code() -> str:
    """Digest of this library's own files: two checkouts may have one version."""
    folder, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted((*folder.rglob("*.py"), *folder.rglob("*.json"))):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def check_extra(extra: str) -> None:
    """See that what an extra of this package brings is installed here, in the versions that it asks for.

    Raises
    ------
    UsageError
        Something is missing or too old; the message names all of it, and the command that brings it.
    """
    from packaging.requirements import Requirement  # not above: only pods are checked so

    wrong = []
    for requirement in map(Requirement, _requirements()):
        if requirement.marker is None or not requirement.marker.evaluate({"extra": extra}):
            continue
        try:
            version: str | None = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            version = None
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            there = f"{version} is installed" if version else "not installed"
            wrong.append(f"{requirement.name}{requirement.specifier} ({there})")
    if wrong:
        raise UsageError(f"cluster {extra!r} needs {', '.join(wrong)}: pip install '{PACKAGE}[{extra}]'")


def _requirements() -> list[str]:
    try:
        return metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:  # a checkout that is on the path and not installed
        return []


def differences(client: dict[str, Any], others: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Compare versions. Pure.

    Parameters
    ----------
    client : dict
        Version by package.
    others : dict of dict
        The same for each scheduler and worker, by address.

    Returns
    -------
    dict
        For each package that differs: version by ``client`` or address. Empty if all agree.
    """
    found = {}
    for package, mine in client.items():
        wrong = {where: there.get(package) or "none" for where, there in others.items() if there.get(package) != mine}
        if wrong:
            found[package] = {"client": mine or "none", **wrong}
    return found


def check(client: Client, *, image: str | None = None) -> None:
    """Compare the versions of a dask client, its scheduler and its workers.

    Raises
    ------
    VersionError
        They differ; the message names both sides and what to do.
    UsageError
        The client is an asynchronous one.
    """
    running = client.get_versions(packages=list(PACKAGES))
    if isinstance(running, Coroutine):
        running.close()
        raise UsageError(f"cluster {client!r} is an asynchronous client: make it without asynchronous=True")
    others = {"scheduler": running["scheduler"], **running["workers"]}
    _compare(_picked(running["client"]), {where: _picked(there) for where, there in others.items()}, image)
    # Only now can a function of ours be sent.
    try:
        there = {"scheduler": client.run_on_scheduler(identity), **client.run(identity)}
    except (ImportError, AttributeError):  # a module or name of this checkout is not there
        there = {where: {"GDAL": identity()["GDAL"]} for where in others}
    _compare(identity(), there, image)


def _picked(there: dict[str, Any]) -> dict[str, str]:
    versions = {package: there["packages"].get(package) for package in COMPARED}
    versions["python"] = ".".join(str(versions["python"]).split(".")[:2])
    return versions


def _compare(client: dict[str, Any], others: dict[str, dict[str, Any]], image: str | None) -> None:
    found = differences(client, others)
    if not found:
        return
    words = [f"{package} {sides.pop('client')} here, {_there(sides, others)}" for package, sides in found.items()]
    minor = ".".join(platform.python_version_tuple()[:2])
    where = f"image {image!r}" if image else "the cluster"
    if "python" in found:
        remedy = f"build the image with --build-arg BASE_IMAGE=docker.io/library/python:{minor}-slim"
    elif any("code" in package for package in found):
        remedy = "build the image anew from this checkout"
    else:
        remedy = "install the same here: pip install --constraint k8s/constraints.txt ..."
    raise VersionError(f"client and {where} differ: {'; '.join(words)}: {remedy}, or run the client from the image too")


def _there(sides: dict[str, str], others: dict[str, Any]) -> str:
    versions = sorted(set(sides.values()))
    if len(sides) == len(others) and len(versions) == 1:
        return f"{versions[0]} there"
    shown = [f"{version} on {where}" for where, version in list(sides.items())[:3]]
    return ", ".join(shown) + (f" and {len(sides) - 3} more" if len(sides) > 3 else "")
