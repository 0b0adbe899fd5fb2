"""Checksums of a scene's files that lie in its folder: in its STAC items, and in USGS's list of MD5 sums.

To hash a band costs a third of what it costs to reduce it, and its blocks carry checksums of their own. So `run`
compares them only where nothing else shows a damaged header; `verify` always does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from landsat_downsample.errors import ReadError
from landsat_downsample.formats.multihash import parse_multihash
from landsat_downsample.formats.stac_item import is_item_name
from landsat_downsample.model.location import Location
from landsat_downsample.storage import files


def compare(locations: Iterable[Location]) -> int:
    """Compare local files, or members of a tar, with the checksums beside them; return how many have one.

    Raises
    ------
    ReadError
        One differs.
    """
    from landsat_downsample.storage import verified_copy  # not above: a scene is mostly opened without it

    known: dict[Location, dict[str, tuple[str, str]]] = {}
    count = 0
    for location in locations:
        if location.kind not in ("file", "tar"):
            continue
        folder = location.parent
        if folder not in known:
            known[folder] = digests_in(folder)
        if expected := known[folder].get(location.name):
            count += 1
            if verified_copy.digest(location, expected[0]) != expected[1]:
                raise ReadError(
                    f"cannot read {location!r}: its bytes do not have the {expected[0]} checksum that lies beside it: "
                    "it is damaged, or was changed; fetch it again"
                )
    return count


def digests_in(folder: Location) -> dict[str, tuple[str, str]]:
    """(algorithm, digest) of files by name, as the items and the list of MD5 sums in their folder say."""
    found: dict[str, tuple[str, str]] = {}
    for name in files.list_names(folder):
        place = folder / name
        if name.lower().endswith("_md5.txt"):
            found |= md5_sums(files.read_bytes(place))
        elif is_item_name(name):
            found |= _of_item(files.read_bytes(place))
    return found


def md5_sums(text: bytes) -> dict[str, tuple[str, str]]:
    """As ``_MD5.txt`` of EarthExplorer has them.

    >>> md5_sums(b"0123456789abcdef0123456789ABCDEF  B4.TIF")
    {'B4.TIF': ('md5', '0123456789abcdef0123456789abcdef')}
    """
    pairs = [line.split() for line in text.decode("ascii", "replace").splitlines()]
    return {pair[1].lstrip("*"): ("md5", pair[0].lower()) for pair in pairs if len(pair) == 2 and len(pair[0]) == 32}


def _of_item(text: bytes) -> dict[str, tuple[str, str]]:
    try:
        assets = json.loads(text)["assets"].values()
        given = {Location(asset["href"]).name: parse_multihash(asset.get("file:checksum")) for asset in assets}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # no item after all
    return {name: digest for name, digest in given.items() if digest}
