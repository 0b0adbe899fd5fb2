"""Products of a run to look at: a small picture of each, and what its STAC item says."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar
from urllib.parse import quote

from landsat_downsample.errors import LandsatDownsampleError
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.safe_text import plain
from landsat_downsample.storage import files
from landsat_downsample.storage.bugs import is_bug, warn

T = TypeVar("T")

#: Pictures of a page, their longer side in pixels, and bytes of all of them as data URIs.
MOST, SIDE, ROOM = 60, 256, 3_500_000

#: Readers at one time: pictures are small, so that the store's answers take the time.
READERS = 8

#: No browse picture of ours is larger; one that claims to be is not unpacked.
_PIXELS = 4096 * 4096


@dataclass(frozen=True, slots=True)
class Card:
    """A product on the page."""

    id: str
    link: str
    """Its STAC item, relative to the folder of the run's record."""
    picture: str | None = None
    """A data URI."""
    width: int = 0
    height: int = 0
    facts: tuple[tuple[str, str], ...] = ()
    missing: str | None = None
    """Why there is no picture."""

    @property
    def alt(self) -> str:
        """What the picture shows, for who does not see it."""
        described = ", ".join(f"{name} {value}" for name, value in self.facts[:2])
        return f"Browse picture of {self.id}" + (f": {described}" if described else "")


def cards(products: Sequence[tuple[str, str]], dest: str, *, policy: Policy) -> list[Card]:
    """Make the cards of products.

    Parameters
    ----------
    products : sequence of (scene ID, href of the STAC item)
    dest : str
        Where the products are, as this machine sees it: hrefs name the run's own view of it.
    """
    with ThreadPoolExecutor(READERS) as pool:
        made = pool.map(lambda product: _card(product, dest, policy), products)
        return list(_within(made, ROOM))


def evenly(things: Sequence[T], most: int) -> list[T]:
    """Choose at most so many, evenly, the first and the last among them.

    >>> evenly(range(10), 4)
    [0, 3, 6, 9]
    """
    if len(things) <= most:
        return list(things)
    return [things[round(k * (len(things) - 1) / (most - 1))] for k in range(most)]


def relative(href: str) -> str | None:
    """Link from a run's folder to an item, wherever both have been moved; None for an impossible name.

    >>> relative("s3://bucket/out/a b_downsampled/a b_downsampled.stac.json")
    '../../a%20b_downsampled/a%20b_downsampled.stac.json'
    """
    names = _names(href)
    return None if names is None else "../../" + "/".join(quote(name, safe="", errors="replace") for name in names)


def _names(href: str) -> tuple[str, str] | None:
    parts = href.replace("\\", "/").split("/")[-2:]
    good = len(parts) == 2 and not any(part in ("", ".", "..") for part in parts)
    return (parts[0], parts[1]) if good else None


def _within(made: Iterable[Card], room: int) -> Iterable[Card]:
    """Leave out pictures that would make the page too large."""
    for card in made:
        room -= len(card.picture or "")
        yield card if room >= 0 else Card(card.id, card.link, facts=card.facts, missing="the page has no more room")


def _card(product: tuple[str, str], dest: str, policy: Policy) -> Card:
    name, link, names = plain(product[0], 200), relative(product[1]), _names(product[1])
    if link is None or names is None:
        return Card(name, "", missing="its item has no proper name")
    folder, marker = names
    facts: tuple[tuple[str, str], ...] = ()
    try:
        place = Location(dest) / folder
        facts = _facts(json.loads(files.read_bytes(place / marker, limit=4 << 20, policy=policy)))
        data = files.read_bytes(place / f"{folder}.browse.png", limit=8 << 20, policy=policy)
        return Card(name, link, *_small(data), facts=facts)
    except LandsatDownsampleError as error:
        return Card(name, link, facts=facts, missing=plain(error, 200))
    except Exception as error:  # a page without one picture is better than no page
        if is_bug(error):
            warn(error, f"no picture of {name}")
        return Card(name, link, facts=facts, missing=plain(f"not readable: {type(error).__name__}", 200))


def _small(data: bytes) -> tuple[str, int, int]:
    """Shrink a picture; its data URI, width and height."""
    from PIL import Image, features

    with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
        if picture.width * picture.height > _PIXELS:
            raise ValueError("too large for a browse picture")
        small = picture.convert("RGBA")
    small.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    if features.check("webp"):
        kind = "webp"
        small.save(out, "WEBP", quality=82)
    else:
        kind = "png"
        small.quantize(128, Image.Quantize.FASTOCTREE).save(out, "PNG", optimize=True)
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}", *small.size


def _facts(item: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """What people ask of a product: name and value, those only that its item has."""
    properties = item["properties"]
    date, cloud = properties.get("datetime") or properties.get("start_datetime"), properties.get("eo:cloud_cover")
    place = [properties.get(f"landsat:wrs_{part}") for part in ("path", "row")]
    valid = [asset["landsat_ds:valid_fraction"] for asset in item["assets"].values() if _has_fraction(asset)]
    cell, shape = properties.get("gsd"), properties.get("proj:shape")
    known = (
        ("date", date and str(date)[:10]),
        ("cloud cover", f"{float(cloud):.3g} %" if cloud is not None and float(cloud) >= 0 else None),
        ("path/row", "/".join(map(str, place)) if all(place) else None),
        ("valid cells", f"{100 * median(valid):.3g} %" if valid else None),
        ("cell size", None if cell is None else f"{float(cell):.6g} m"),
        ("cells", f"{int(shape[1])} × {int(shape[0])}" if shape else None),
    )
    return tuple((name, plain(value, 60)) for name, value in known if value)


def _has_fraction(asset: object) -> bool:
    return isinstance(asset, dict) and isinstance(asset.get("landsat_ds:valid_fraction"), (int, float))
