"""A page of an S3 listing (ListObjectsV2) from its XML, without what else a client for all of S3 does. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_plus
from xml.etree import ElementTree

#: What a listing tells of an object: key, bytes, ETag as the store spells it (with quotes); none where it tells none.
Listed = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Page:
    """Objects of one answer, in the store's order."""

    objects: list[Listed]
    token: str
    """What to ask for the next page with; empty on the last one."""


def parse_page(body: bytes) -> Page:
    """Read the answer to ListObjectsV2.

    Raises
    ------
    ValueError
        It is none.

    Examples
    --------
    >>> body = b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a/B4.TIF</Key><Size>7</Size>"
    >>> parse_page(body + b"<ETag>&quot;0f&quot;</ETag></Contents></ListBucketResult>").objects
    [('a/B4.TIF', 7, '"0f"')]
    """
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise ValueError("no XML") from error
    space, name, rest = root.tag.partition("ListBucketResult")
    more = root.findtext(f"{space}IsTruncated")
    if not name or rest or more is None:
        raise ValueError("no listing")
    token = root.findtext(f"{space}NextContinuationToken") or ""
    if (more == "true") != bool(token):
        raise ValueError("a page that does not say what follows")
    # As botocore does, which asks for names encoded so: XML has no control characters.
    decoded = unquote_plus if root.findtext(f"{space}EncodingType") == "url" else str
    key, size, etag = f"{space}Key", f"{space}Size", f"{space}ETag"
    return Page(
        [
            (decoded(one.findtext(key, "")), int(one.findtext(size, "")), one.findtext(etag, ""))
            for one in root.iterfind(f"{space}Contents")
        ],
        token,
    )
