"""A page of an S3 listing (ListObjectsV2) from its XML, without what else a client for all of S3 does. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_plus
from xml.parsers import expat

#: What a listing tells of an object: key, bytes, ETag as the store spells it (with quotes); none where it tells none.
Listed = tuple[str, int, str]


#: What is read of an answer; none of these names has another meaning deeper in it.
_WANTED = frozenset(("Key", "Size", "ETag", "IsTruncated", "NextContinuationToken", "EncodingType", "ListBucketResult"))


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
    said: dict[str, str] = {}
    found: list[Listed] = []
    text: list[str] = []

    def start(tag: str, _: object) -> None:
        text.clear()

    def end(tag: str) -> None:
        if tag in _WANTED:
            said[tag] = "".join(text)
        elif tag == "Contents":
            found.append((said.pop("Key"), int(said.pop("Size")), said.pop("ETag", "")))

    # No tree: its thousands of nodes would have the garbage collector walk all that the process holds, again and again.
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text.append
    try:
        parser.Parse(body, True)
        more, _ = said["IsTruncated"], said["ListBucketResult"]
    except (expat.ExpatError, KeyError) as error:
        raise ValueError("no listing") from error
    token = said.get("NextContinuationToken", "")
    if (more == "true") != bool(token):
        raise ValueError("a page that does not say what follows")
    if said.get("EncodingType") == "url":  # which botocore asks for: XML has no control characters
        found = [(unquote_plus(key), size, etag) for key, size, etag in found]
    return Page(found, token)
