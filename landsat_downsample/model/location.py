"""Locations: what kind they are, how to join, name and print them. Pure."""

from __future__ import annotations

import dataclasses
import os
import posixpath
import re
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from landsat_downsample.errors import UsageError
from landsat_downsample.model import environment
from landsat_downsample.model.family import signed_accounts

ENDPOINT = "https://planetarycomputer.microsoft.com/api/sas/v1/token"

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
WEB, S3 = ("http", "https"), ("s3", "s3a")
#: What a path library makes of a URL.
_ONE_SLASH = re.compile(r"^(https?|s3):/?(?!/)", re.IGNORECASE)
#: Protocols whose hrefs begin with a bucket or container, where others have a host.
BUCKETS = (*S3, "gs", "gcs", "az", "abfs", "abfss", "oci", "memory")

_QUERY = re.compile(r"[?#;&]|%(?:3[bf]|2[36])", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Location:
    """Where something is: a path, a URL, an object of a store, or ``tar://MEMBER::ARCHIVE``.

    `href` is what a transport needs, secrets and all. What is printed of it is `shown`, whichever way: as text, in
    quotes by ``!r``, and so in every message.

    Examples
    --------
    >>> place = Location("https://me:word@host/scene/B4.TIF?sig=abc")
    >>> place, place.name, place.kind, place.is_local
    ('https://host/scene/B4.TIF', 'B4.TIF', 'https', False)
    """

    href: str
    kind: str = dataclasses.field(init=False, compare=False)
    """``file``, ``tar``, ``http``, ``https``, ``s3``, ``memory`` ..."""

    def __post_init__(self) -> None:
        found = _SCHEME.match(self.href)
        object.__setattr__(self, "kind", found.group(1).lower() if found else "file")

    @classmethod
    def of(cls, href: str | Location) -> Location:
        """Parse what a user or a document says, unless that was done before."""
        return href if isinstance(href, Location) else cls(href)

    @classmethod
    def in_tar(cls, member: str, archive: Location) -> Location:
        """Name a member of a tar archive.

        >>> Location.in_tar("a/B4.TIF", Location("/data/scene.tar"))
        'tar://a/B4.TIF::/data/scene.tar'
        """
        return cls(f"tar://{member}::{archive.href}")

    @classmethod
    def checked(cls, href: str) -> Location:
        """Parse an href, and refuse what can be no location, whatever there may be at it.

        Raises
        ------
        UsageError
            It is empty, holds what no path or URL does, or is not written as its kind must be.
        """
        if not href.strip():
            raise UsageError("href is empty: give a path or a URL")
        made = cls(href)
        if made.kind == "file":
            if found := _ONE_SLASH.match(href):
                raise UsageError(f"href {made!r} is no URL: two slashes follow {found[1]}:, {found[1]}://")
            _ = made.path  # which refuses what no path has
        elif made.kind == "tar":
            cls.checked(made.archive.href)
        elif re.search("[\0\ud800-\udfff]", href):
            raise UsageError(f"href {made!r} holds a sign that no URL has: see how it was written")
        if made.kind in WEB and not _has_host(href):
            raise UsageError(f"href {made!r} is no URL: see how its host and port are written")
        return made

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return repr(self.shown)

    def __truediv__(self, name: str) -> Location:
        """Join a name to a folder, prefix or archive; the query of a signed URL stays at the end.

        >>> Location("s3://bucket/scenes/") / "LC08" / "B4.TIF"
        's3://bucket/scenes/LC08/B4.TIF'
        >>> (Location("https://host/scenes?sig=x") / "B4.TIF").href
        'https://host/scenes/B4.TIF?sig=x'
        """
        if self.is_archive:
            return self.in_tar(name, self)
        if self.kind == "file":
            return Location(os.path.join(self.path, name))
        if self.kind == "tar":
            return self.in_tar(f"{self.member.rstrip('/')}/{name}", self.archive)
        if self.kind in WEB:
            parts = urlsplit(self.href)
            return Location(urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}", fragment="")))
        return Location((self.href if self.href.endswith("://") else self.href.rstrip("/") + "/") + name)

    @property
    def is_local(self) -> bool:
        """Whether the bytes are on this machine's disk: a path, ``file://``, or a member of a local tar."""
        return self.archive.is_local if self.kind == "tar" else self.kind == "file"

    @property
    def is_archive(self) -> bool:
        """Whether it is a tar archive (by its ending, compressed ones too)."""
        return self.kind != "tar" and self.name.lower().endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))

    @property
    def is_writable(self) -> bool:
        """Whether it is of a kind that anything can be written to."""
        return self.kind not in (*WEB, "tar")

    @property
    def path(self) -> str:
        """The absolute path of what is a path or ``file://``.

        >>> Location("file:///data/a%20scene").path
        '/data/a scene'
        """
        if not self.href:
            raise UsageError("href is empty: give a path or a URL")
        path = self.href
        if path.lower().startswith("file://"):
            host, slash, path = path[len("file://") :].partition("/")
            if host.lower() not in ("", "localhost"):
                raise UsageError(f"href {self!r} names a host: file:// reads this machine only (file:///absolute/path)")
            path = unquote(slash + path)
        try:
            if b"\0" in os.fsencode(path):
                raise ValueError
        except ValueError:
            raise UsageError(f"href {self!r} holds a sign that no path has: see how it was written") from None
        return os.path.abspath(os.path.expanduser(path))

    @property
    def member(self) -> str:
        """Name inside the archive, of what is in one.

        >>> place = Location("tar://a/B4.TIF::/data/scene.tar")
        >>> place.member, place.archive
        ('a/B4.TIF', '/data/scene.tar')
        """
        return self._of_tar()[0]

    @property
    def archive(self) -> Location:
        """The archive, of what is in one."""
        return Location(self._of_tar()[1])

    def _of_tar(self) -> tuple[str, str]:
        member, sign, archive = self.href[len("tar://") :].partition("::")
        if self.kind != "tar" or not (member and sign and archive):
            raise UsageError(f"href {self!r} is not tar://MEMBER::ARCHIVE")
        return member, archive

    @property
    def host(self) -> str | None:
        """Host, or bucket, that serves it; None for this machine's disks.

        >>> Location("https://user:word@example.com/scene/B4.TIF").host
        'https://example.com'
        """
        if self.kind == "tar":
            return self.archive.host
        return None if self.is_local else f"{self.kind}://{self.shown.partition('://')[2].partition('/')[0]}"

    @property
    def name(self) -> str:
        """Name of the file or folder, without query or fragment.

        >>> Location("https://host/data/B4.TIF?requestSignature=abc&v=1").name
        'B4.TIF'
        """
        if self.kind == "file":
            return os.path.basename(self.path)
        if self.kind in WEB:
            return unquote(urlsplit(self.href).path).rstrip("/").rpartition("/")[2]
        return (self.member if self.kind == "tar" else self.href).rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> Location:
        """The folder or prefix that holds a file; the archive, for a member of one.

        >>> Location("https://host/a/item.json?sig=x").parent.href
        'https://host/a?sig=x'
        """
        if self.kind == "tar":
            return self.archive
        if self.kind in WEB:
            parts = urlsplit(self.href)
            return Location(urlunsplit(parts._replace(path=posixpath.dirname(parts.path), fragment="")))
        return Location(self.href.rpartition("/")[0] or "/")

    @property
    def shown(self) -> str:
        """What may be printed and stored of it: `redact`."""
        return redact(self.href)


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def redact(href: str) -> str:
    """Take user names, passwords, signatures and every other query out of an href: safe to print and to store.

    Where an ``@`` comes after what would be the host, the password may hold a ``/`` or ``?``, and nothing is shown.

    >>> redact("https://me:secret@host:8080/B4.TIF?sv=1&sig=abc#x"), redact("https://host/B4.TIF;sig=abc")
    ('https://host:8080/B4.TIF', 'https://host/B4.TIF')
    >>> redact("https://me:se/cret@host/B4.TIF")
    'https://***'
    """
    kind = Location(href).kind
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
    bare = f"{head}://{re.split('[;&]', authority.rpartition('@')[2])[0]}{_QUERY.split(path, maxsplit=1)[0]}"
    return href if bare == href else bare  # the same object: of a million scenes no second copy is kept


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


def container(location: Location) -> tuple[str, str] | None:
    """Find the (account, container) of a blob that needs a token, else None.

    A blob on the host of the token service itself is addressed as ``/ACCOUNT/CONTAINER/...``, as emulators do.

    >>> container(Location("https://landsateuwest.blob.core.windows.net/landsat-c2/level-2/B4.TIF"))
    ('landsateuwest', 'landsat-c2')
    """
    parts = urlsplit(location.href)
    if "sig=" in parts.query or location.kind not in WEB or location.href.startswith(endpoint() + "/"):
        return None
    account, _, domain = (parts.hostname or "").partition(".")
    names = parts.path.strip("/").split("/")
    if domain == "blob.core.windows.net" and account in signed_accounts() and len(names) >= 2:
        return account, names[0]
    own = environment.read("LANDSAT_DOWNSAMPLE_SAS_ENDPOINT")
    if own and urlsplit(own).netloc == parts.netloc and len(names) >= 3:
        return names[0], names[1]
    return None


def endpoint() -> str:
    """Give the token service: LANDSAT_DOWNSAMPLE_SAS_ENDPOINT, else the Planetary Computer's."""
    return (environment.read("LANDSAT_DOWNSAMPLE_SAS_ENDPOINT") or ENDPOINT).rstrip("/")
