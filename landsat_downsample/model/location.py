"""Location strings: what kind they are, how to join, name and print them. Pure."""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from landsat_downsample.errors import UsageError

ENDPOINT = "https://planetarycomputer.microsoft.com/api/sas/v1/token"
#: Storage accounts of the Planetary Computer that hold Landsat.
ACCOUNTS = ("landsateuwest",)

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
_WEB = ("http", "https")
#: What a path library makes of a URL.
_ONE_SLASH = re.compile(r"^(https?|s3):/?(?!/)", re.IGNORECASE)
#: Protocols whose hrefs begin with a bucket or container, where others have a host.
BUCKETS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "memory")

_QUERY = re.compile(r"[?#;&]|%(?:3[bf]|2[36])", re.IGNORECASE)


def scheme(href: str) -> str:
    """Name the kind of a location: ``file``, ``tar``, ``http``, ``https``, ``s3``, ``memory`` ...

    >>> scheme("/data/scene"), scheme("s3://usgs-landsat/collection02")
    ('file', 's3')
    """
    found = _SCHEME.match(href)
    return found.group(1).lower() if found else "file"


def check(href: str) -> None:
    """Refuse what can be no location, whatever there may be at it.

    Raises
    ------
    UsageError
        It is empty, holds what no path or URL does, or is not written as its kind must be.
    """
    if not href.strip():
        raise UsageError("href is empty: give a path or a URL")
    kind = scheme(href)
    if kind == "file":
        if found := _ONE_SLASH.match(href):
            raise UsageError(f"href {redact(href)!r} is no URL: two slashes follow {found[1]}:, {found[1]}://")
        local_path(href)
    elif kind == "tar":
        check(split_tar(href)[1])
    elif re.search("[\0\ud800-\udfff]", href):
        raise UsageError(f"href {redact(href)!r} holds a sign that no URL has: see how it was written")
    if kind in _WEB:
        try:
            parts = urlsplit(href)
            right = bool(parts.hostname) and parts.port != 0
        except ValueError:
            right = False
        if not right:
            raise UsageError(f"href {redact(href)!r} is no URL: see how its host and port are written")


def is_local(href: str) -> bool:
    """Tell whether the bytes are on this machine's disk: a path, ``file://``, or a member of a local tar."""
    kind = scheme(href)
    return is_local(split_tar(href)[1]) if kind == "tar" else kind == "file"


def local_path(href: str) -> str:
    """Turn a path or a ``file://`` href into an absolute path.

    >>> local_path("file:///data/a%20scene")
    '/data/a scene'
    """
    if not href:
        raise UsageError("href is empty: give a path or a URL")
    path = href
    if href.lower().startswith("file://"):
        host, slash, path = href[len("file://") :].partition("/")
        if host.lower() not in ("", "localhost"):
            raise UsageError(f"href {href!r} names a host: file:// reads this machine only (file:///absolute/path)")
        path = unquote(slash + path)
    try:
        if b"\0" in os.fsencode(path):
            raise ValueError
    except ValueError:
        raise UsageError(f"href {href!r} holds a sign that no path has: see how it was written") from None
    return os.path.abspath(os.path.expanduser(path))


def tar_href(member: str, archive: str) -> str:
    """Name a member of a tar archive.

    >>> tar_href("a/B4.TIF", "/data/scene.tar")
    'tar://a/B4.TIF::/data/scene.tar'
    """
    return f"tar://{member}::{archive}"


def split_tar(href: str) -> tuple[str, str]:
    """Split ``tar://MEMBER::ARCHIVE`` into (member, archive).

    >>> split_tar("tar://a/B4.TIF::/data/scene.tar")
    ('a/B4.TIF', '/data/scene.tar')
    """
    member, sign, archive = href[len("tar://") :].partition("::")
    if scheme(href) != "tar" or not (member and sign and archive):
        raise UsageError(f"href {redact(href)!r} is not tar://MEMBER::ARCHIVE")
    return member, archive


def is_tar(href: str) -> bool:
    """Tell whether an href names a tar archive (by its ending, compressed ones too)."""
    kind = scheme(href)
    return kind != "tar" and basename(href).lower().endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))


def join(base: str, *names: str) -> str:
    """Join names to a folder or prefix; the query of a signed URL stays at the end.

    >>> join("s3://bucket/scenes/", "LC08", "B4.TIF")
    's3://bucket/scenes/LC08/B4.TIF'
    >>> join("https://host/scenes?sig=x", "B4.TIF")
    'https://host/scenes/B4.TIF?sig=x'
    """
    if is_tar(base):
        return tar_href("/".join(names), base)
    kind = scheme(base)
    if kind == "file":
        return os.path.join(local_path(base), *names)
    if kind in _WEB:
        parts = urlsplit(base)
        path = "/".join([parts.path.rstrip("/"), *names])
        return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
    if kind == "tar":
        member, archive = split_tar(base)
        return tar_href("/".join([member.rstrip("/"), *names]), archive)
    head = base if base.endswith("://") else base.rstrip("/") + "/"
    return head + "/".join(names)


def host(href: str) -> str | None:
    """Host, or bucket, that serves an href; None for this machine's disks.

    >>> host("https://user:word@example.com/scene/B4.TIF")
    'https://example.com'
    """
    if scheme(href) == "tar":
        href = split_tar(href)[1]
    if is_local(href):
        return None
    return f"{scheme(href)}://{redact(href).partition('://')[2].partition('/')[0]}"


def basename(href: str) -> str:
    """Name the file an href ends in, without query or fragment.

    >>> basename("https://host/data/B4.TIF?requestSignature=abc&v=1")
    'B4.TIF'
    """
    kind = scheme(href)
    if kind == "tar":
        return split_tar(href)[0].rstrip("/").rpartition("/")[2]
    if kind in _WEB:
        return unquote(urlsplit(href).path).rstrip("/").rpartition("/")[2]
    if kind == "file":
        return os.path.basename(local_path(href))
    return href.rstrip("/").rpartition("/")[2]


def redact(href: str) -> str:
    """Take user names, passwords, signatures and every other query out of an href: safe to print and to store.

    Where an ``@`` comes after what would be the host, the password may hold a ``/`` or ``?``, and nothing is shown.

    >>> redact("https://me:secret@host:8080/B4.TIF?sv=1&sig=abc#x"), redact("https://host/B4.TIF;sig=abc")
    ('https://host:8080/B4.TIF', 'https://host/B4.TIF')
    >>> redact("https://me:se/cret@host/B4.TIF")
    'https://***'
    """
    kind = scheme(href)
    if kind == "file":
        return href
    if kind == "tar":
        member, sign, archive = href[len("tar://") :].partition("::")
        return f"tar://{member}{sign}{redact(archive)}" if sign else href
    head, _, rest = href.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    path = rest[len(authority) :]
    if "@" in path and (kind not in BUCKETS or ":" in authority):
        return f"{head}://***"
    # "#", "?" and ";" may be part of a key in an object store, but never of a Landsat name.
    return f"{head}://{re.split('[;&]', authority.rpartition('@')[2])[0]}{_QUERY.split(path, maxsplit=1)[0]}"


def redacted_repr(self: Any) -> str:
    """A dataclass' ``__repr__`` that shows no secrets of the hrefs in it."""
    shown = ", ".join(f"{one.name}={_bare(getattr(self, one.name))!r}" for one in dataclasses.fields(self) if one.repr)
    return f"{type(self).__qualname__}({shown})"


def _bare(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if type(value) is dict:
        return {key: _bare(one) for key, one in value.items()}
    return type(value)(map(_bare, value)) if type(value) in (list, tuple) else value


def container(href: str) -> tuple[str, str] | None:
    """Find the (account, container) of a blob that needs a token, else None.

    A blob on the host of the token service itself is addressed as ``/ACCOUNT/CONTAINER/...``, as emulators do.

    >>> container("https://landsateuwest.blob.core.windows.net/landsat-c2/level-2/B4.TIF")
    ('landsateuwest', 'landsat-c2')
    """
    parts = urlsplit(href)
    if "sig=" in parts.query or parts.scheme not in ("http", "https") or href.startswith(endpoint() + "/"):
        return None
    account, _, domain = (parts.hostname or "").partition(".")
    names = parts.path.strip("/").split("/")
    if domain == "blob.core.windows.net" and account in ACCOUNTS and len(names) >= 2:
        return account, names[0]
    own = os.environ.get("LANDSAT_DOWNSAMPLE_SAS_ENDPOINT")
    if own and urlsplit(own).netloc == parts.netloc and len(names) >= 3:
        return names[0], names[1]
    return None


def endpoint() -> str:
    """Give the token service: LANDSAT_DOWNSAMPLE_SAS_ENDPOINT, else the Planetary Computer's."""
    return os.environ.get("LANDSAT_DOWNSAMPLE_SAS_ENDPOINT", ENDPOINT).rstrip("/")
