"""Checks of this process: versions, kernel, credentials, scratch space."""

from __future__ import annotations

import platform
import shutil
import tempfile
from importlib import metadata

from landsat_downsample import __version__
from landsat_downsample.cli.doctor.finding import NO, NOT_ASKED, OK, Finding
from landsat_downsample.errors import ReadError, UsageError
from landsat_downsample.model import environment
from landsat_downsample.model.location import redact
from landsat_downsample.model.words import size_words

#: What botocore calls the places where it found a key, in words.
_PLACES = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the credentials file",
    "config-file": "the config file",
    "assume-role": "a role of the profile",
    "assume-role-with-web-identity": "a web identity (service account)",
    "sso": "single sign-on",
    "custom-process": "a process of the profile",
    "container-role": "the container's role",
    "iam-role": "the machine's role",
    "login": "aws login",
}


def versions() -> str:
    """Name the versions that decide what is written and who can talk to whom."""
    import rasterio

    packages = ("numpy", "dask", "distributed", "s3fs", "dask-kubernetes")
    parts = [f"landsat-downsample {__version__}", f"Python {platform.python_version()}"]
    parts += [f"GDAL {rasterio.__gdal_version__}", f"rasterio {rasterio.__version__}"]
    return ", ".join(parts + [f"{name} {version}" for name in packages if (version := _version(name))])


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def kernel() -> Finding:
    """Tell whether the C kernel is there; without it the bytes are the same, later."""
    from landsat_downsample.pipeline import tiles

    if not tiles.available:
        slower = "bands take longer, the bytes are the same"
        return Finding(NOT_ASKED, "kernel", f"no C kernel: {slower}; reinstall with a C compiler")
    return Finding(OK, "kernel", "the C kernel is there")


def credentials() -> str:
    """Say which kind of key S3 requests will have, and where it is from; never the key."""
    endpoint = environment.read("AWS_ENDPOINT_URL_S3") or environment.read("AWS_ENDPOINT_URL")
    at = f", for {redact(endpoint)}" if endpoint else ""
    if (environment.read("FSSPEC_S3_ANON") or "").lower() in ("1", "true", "yes"):
        return f"none, by FSSPEC_S3_ANON: public buckets only{at}"
    if environment.read("FSSPEC_S3_KEY"):
        return f"access key from the environment (FSSPEC_S3_KEY){at}"
    kind, method = _resolved()
    return f"{kind} from {_PLACES.get(method, method)}{at}"


def _resolved() -> tuple[str, str]:
    """Kind of the key that botocore finds, and its name of the place."""
    try:
        import botocore.exceptions
        import botocore.session
    except ImportError as error:
        raise UsageError("s3:// needs s3fs: pip install 'landsat-downsample[s3]'") from error
    try:
        found = botocore.session.get_session().get_credentials()
        frozen = found.get_frozen_credentials() if found else None
    except botocore.exceptions.BotoCoreError as error:
        raise ReadError(
            f"none can be had ({type(error).__name__}): see AWS_PROFILE and the files in ~/.aws, or log in again"
        ) from error
    if frozen is None:
        raise ReadError(
            "none found: set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or FSSPEC_S3_ANON=true "
            "for a public bucket"
        )
    return ("temporary access key" if frozen.token else "access key"), found.method


def earthdata(*, needed: bool) -> Finding:
    """Say which credentials of NASA's Earthdata there are; never the secret."""
    from landsat_downsample.storage import earthdata as login

    what = "Earthdata login"
    try:
        found = login.credentials()
    except ReadError as error:
        return Finding(NO if needed else NOT_ASKED, what, str(error))
    if needed:
        return Finding(OK, what, found.kind) if found else Finding(NO, what, login.needed())
    return Finding(NOT_ASKED, what, f"no source asks for one; {found.kind if found else 'there is none'}")


def free_space() -> tuple[str, int]:
    """Folder of temporary files, and the bytes that are free there."""
    folder = tempfile.gettempdir()
    return folder, shutil.disk_usage(folder).free


def scratch(free: int, where: str, *, largest: int | None, at_once: int, what: str = "scratch space") -> Finding:
    """Compare free bytes with what bands at work will take. Pure.

    Parameters
    ----------
    free : int
        Bytes.
    where : str
        Their place, for the line.
    largest : int or None
        Bytes of the largest band that will be fetched; None if no source was named.
    at_once : int
        Bands at work there at one time.
    """
    there = f"{size_words(free)} free in {where}"
    if largest is None:
        return Finding(OK if free > 0 else NO, what, f"{there}; name a SOURCE to compare it with")
    if not largest:
        return Finding(OK if free > 0 else NO, what, f"{there}; the source's files are read in place")
    needed = largest * at_once
    room = f"{there}, {size_words(needed)} needed ({at_once} x the largest band)"
    if free > needed:
        return Finding(OK, what, room)
    return Finding(NO, what, f"{room}: free some, point TMPDIR elsewhere, or take fewer workers")
