"""Credentials that come in a file for one process only: read, kept in its environment, and the file deleted.

A CWL runner that holds a secret can hand it to a step in no other way than as a file. Deleted at once, it is not in
what the runner leaves behind when it is stopped, nor in a folder that others come to see while the step works. What
a process sets in its own environment does not show in ``/proc/PID/environ``.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from configparser import Error, RawConfigParser
from contextlib import suppress
from pathlib import Path

from landsat_downsample.errors import UsageError

#: Names in the file, and the variables in which botocore and `earthdata` look for the same.
_VARIABLES = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
    "region": "AWS_DEFAULT_REGION",
    "endpoint_url": "AWS_ENDPOINT_URL",
    "earthdata_token": "EARTHDATA_TOKEN",
}
_NEEDED = ("aws_access_key_id", "aws_secret_access_key")
#: What would mix another identity into that of the file, and what botocore asks before AWS_ENDPOINT_URL.
_IDENTITY = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "FSSPEC_S3_ENDPOINT_URL", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")


def take_credentials(path: str | os.PathLike[str], environ: MutableMapping[str, str] = os.environ) -> None:
    """Move credentials of S3 and of Earthdata from a file into the environment of this process.

    The file is deleted whatever is in it, and its folder too if nothing else is there.

    Parameters
    ----------
    path : str or path
        INI file of the form that AWS clients read. Only ``[default]`` counts, with ``aws_access_key_id``,
        ``aws_secret_access_key`` and, if need be, ``aws_session_token``, ``region`` and ``endpoint_url``; with them or
        alone ``earthdata_token``.
    environ : mapping, optional
        Where the values go: the variables that botocore reads. An identity that is there already is replaced.

    Raises
    ------
    UsageError
        If the file cannot be read or deleted, is not INI, lacks a key, or says more than the above. The message
        holds nothing of the file.
    """
    values = _values(_taken(Path(path)), path)
    if _NEEDED[0] in values:
        for name in (*_IDENTITY, *(_ENDPOINTS if "endpoint_url" in values else ())):
            environ.pop(name, None)
    environ.update({_VARIABLES[name]: value for name, value in values.items()})


def _taken(path: Path) -> bytes:
    """Read and delete a file."""
    try:
        content = path.read_bytes()
        path.unlink()
    except OSError as error:
        raise UsageError(f"credentials file {path}: it cannot be read and deleted: {error.strerror}") from error
    with suppress(OSError):  # something else is in it, or it is not ours
        path.parent.rmdir()
    return content


def _values(content: bytes, path: str | os.PathLike[str]) -> dict[str, str]:
    """Give what the default profile sets, blank values left out."""
    if not content.strip():
        raise UsageError(f"credentials file {path}: it is blank; leave the option out to use the ambient identity")
    parser = RawConfigParser(default_section="")  # no interpolation: a % is a % in a secret
    try:
        parser.read_string(content.decode())
    except (Error, UnicodeDecodeError):  # whose words quote the file: not chained, so that -v does not show them
        raise UsageError(f"credentials file {path}: it is not an INI file; give it a [default] section") from None
    found = dict(parser["default"]) if parser.has_section("default") else {}
    values = {name: value.strip() for name, value in found.items() if value.strip()}
    missing = [name for name in _NEEDED if name not in values]
    if missing and set(values) != {"earthdata_token"}:
        raise UsageError(f"credentials file {path}: [default] lacks {' and '.join(missing)}")
    if not set(values) <= set(_VARIABLES):  # a role to assume, say, which these keys alone are not
        raise UsageError(f"credentials file {path}: [default] may hold {', '.join(_VARIABLES)} only")
    return values
