"""The browse picture: coarse bands in, the bytes of one PNG out.

Three kinds of picture, in this order of preference: three bands as a colour composite,
one continuous band in grey, or the classes of a quality band with a legend. Cells
without data are transparent. Codes of a quality band are looked up, never averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.transform import Affine

from landsat_downsample.model import flags
from landsat_downsample.model.bands import BandSpec, BitField
from landsat_downsample.model.cells import Cells, Overlay
from landsat_downsample.pipeline.cog import in_memory
from landsat_downsample.reduce.kernels import Strip
from landsat_downsample.reduce.rule import Rule
from landsat_downsample.reduce.values import Moments

#: Longest side of the picture, in pixels; a legend comes on top of it.
MAX_SIDE = 512

#: Colour composites by common name (red, green, blue of the screen), best first.
COMPOSITES = (
    ("red", "green", "blue"),
    ("nir08", "red", "green"),
    ("nir09", "red", "green"),
    ("swir16", "nir08", "red"),
    ("swir22", "nir08", "red"),
    ("swir22", "swir16", "red"),
    ("swir22", "swir16", "nir08"),
    ("nir08", "green", "blue"),
)

#: The single band that shows most, best first: common names, then USGS names.
GREYS = (
    *("pan", "red", "nir08", "nir09", "green", "swir16", "swir22", "blue", "coastal"),
    *("lwir11", "lwir", "lwir12", "b6_vcid_2", "cirrus"),
    *("st_trad", "st_emis", "st_atran", "st_cdist", "st_qa", "sr_atmos_opacity"),
)

#: A stretch narrower than this would show noise: in reflectance, then in DN.
NARROWEST = {True: 0.05, False: 4.0}

#: Clear land takes this share of the brightness, cloud and snow the rest of it.
KNEE = 0.75

#: How far cloud pulls the knee up from clear land, 0 to 1: at 0 haze over dark forest burns out.
CLOUD_WEIGHT = 1 / 3

GAMMA = 1.8


@dataclass(frozen=True, slots=True)
class CellClass:
    """A class of cells: any of `when` makes a cell belong to it."""

    label: str
    colour: tuple[int, int, int]
    when: tuple[tuple[str, int], ...] = ()
    """Pairs (field, least level); none at all for the class that takes what is left."""


#: In order of priority: the first class that fits a cell gives its colour.
CLOUD_CLASSES = (
    CellClass("Dropped pixel", (196, 60, 140), (("dropped", 1),)),
    CellClass("Cloud", (236, 240, 244), (("cloud", 1),)),
    CellClass("Cloud shadow", (62, 58, 84), (("cloud_shadow", 1),)),
    CellClass("Snow or ice", (126, 214, 230), (("snow", 1),)),
    CellClass("Water", (38, 104, 178), (("water", 1),)),
    CellClass("Cirrus", (196, 166, 222), (("cirrus", 1),)),
    CellClass("Dilated cloud", (178, 182, 186), (("adjacent", 1),)),
    CellClass("Terrain occlusion", (150, 98, 62), (("occlusion", 1),)),
    CellClass("Dense dark vegetation", (40, 112, 60), (("ddv", 1),)),
    CellClass("Clear", (148, 178, 98)),
)

#: Collections before the second say these by a confidence; only the highest counts.
CONFIDENT = tuple((name, f"{name}_confidence") for name in ("cloud", "cloud_shadow", "snow", "water", "cirrus"))

AEROSOL_CLASSES = (
    CellClass("High aerosol", (176, 48, 40), (("level", 3),)),
    CellClass("Medium aerosol", (238, 144, 60), (("level", 2),)),
    CellClass("Water", (38, 104, 178), (("water", 1),)),
    CellClass("Low aerosol", (250, 222, 140), (("level", 1),)),
    CellClass("Climatology", (190, 194, 190)),
)

SATURATION_COLOURS = ((226, 229, 232), (250, 196, 90), (232, 120, 48), (170, 36, 46))

CODE_COLOURS = (
    *((226, 229, 232), (38, 104, 178), (230, 150, 50), (40, 140, 110), (190, 70, 110)),
    *((120, 100, 170), (120, 190, 220), (140, 100, 60)),
)


def render(
    arrays: Mapping[str, np.ndarray],
    specs: Mapping[str, BandSpec],
    nodata: Mapping[str, float | None],
    *,
    title: str | None = None,
) -> bytes:
    """Draw the coarse bands of one product as a PNG.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Coarse bands by USGS name, each of the same shape (y, x), stored values (DN).
        Where one of those that are best to show is all fill, the next best takes its place.
    specs : mapping of str to BandSpec
        What the catalogue knows of each of them.
    nodata : mapping of str to float or None
        Stored value of a cell without data; None leaves it to the catalogue.
    title : str, optional
        Goes into the file as its ``Title``, and above the legend if there is one.

    Returns
    -------
    bytes
        RGBA, the same bytes for the same input. It has a pixel per cell, or fits 512 pixels
        on the longer side if there are more cells; the legend of a quality band comes on top.
    """
    shown, valid = _seen(arrays, specs, nodata)
    if specs[shown[0]].categorical:
        return _png(_classes(arrays[shown[0]], valid, specs[shown[0]], title), title, shown, smooth=False)
    values, alpha = _shrink([arrays[name] for name in shown], valid)
    calm = _clear(arrays, specs, alpha)
    return _png(_paint(values, alpha, calm, [specs[name] for name in shown]), title, shown, smooth=True)


def inputs(specs: Mapping[str, BandSpec]) -> frozenset[str]:
    """Names of the bands that are drawn, or say where those have data, as long as none that is drawn lacks all data."""
    wanted: list[str | None] = [*_choose(specs), _quality(specs, specs)]
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name is not None and name in specs and name not in found:
            found.add(name)
            wanted.append(specs[name].fill_from)
    return frozenset(found)


def all_have_data(
    arrays: Mapping[str, np.ndarray], specs: Mapping[str, BandSpec], nodata: Mapping[str, float | None]
) -> bool:
    """Whether the bands that `render` would draw first are those that it draws."""
    return _seen(arrays, specs, nodata)[0] == _choose(specs)


def _seen(
    arrays: Mapping[str, Any], specs: Mapping[str, Any], nodata: Mapping[str, Any]
) -> tuple[tuple[str, ...], np.ndarray]:
    """The bands to show, and where all of them have data; one that is all fill gives way to the next best."""
    left = {name: specs[name] for name in arrays}
    while left:
        shown = _choose(left)
        valid = [_valid(name, arrays, specs, nodata) for name in shown]
        empty = {name for name, mask in zip(shown, valid, strict=True) if not mask.any()}
        if not empty:
            return shown, np.logical_and.reduce(valid)
        left = {name: spec for name, spec in left.items() if name not in empty}
    shown = _choose({name: specs[name] for name in arrays})
    return shown, np.zeros(arrays[shown[0]].shape, bool)


def _choose(specs: Mapping[str, BandSpec]) -> tuple[str, ...]:
    """The three bands, or the one band, that the picture is made of."""
    reflective = {spec.common_name: name for name, spec in specs.items() if spec.common_name and not spec.categorical}
    for composite in COMPOSITES:
        if all(name in reflective for name in composite):
            return tuple(reflective[name] for name in composite)
    return (min(specs, key=lambda name: (_rank(specs[name]), name)),)


def _rank(spec: BandSpec) -> tuple[int, int]:
    if spec.categorical:
        return 2, _telling(spec)
    if spec.unit == "degree":
        return 3, 0  # an angle is a smooth ramp: it shows less than a quality band does
    places = [GREYS.index(name) for name in spec.names if name in GREYS]
    return 1, min(places, default=len(GREYS))


def _telling(spec: BandSpec) -> int:
    """Which quality bands tell most, from 0: that of the scene, other flags of clouds, aerosol, saturation, classes."""
    told = spec.quality, spec.field("cloud"), spec.field("level"), _band_flags(spec)
    return next((place for place, has in enumerate(told) if has), len(told))


def _band_flags(spec: BandSpec) -> list[BitField]:
    """The flags of a quality band that are of one band each: saturation."""
    return [field for field in spec.fields if field.name.startswith("band")]


def _quality(specs: Mapping[str, BandSpec], arrays: Mapping[str, Any]) -> str | None:
    return next((name for name, spec in specs.items() if spec.quality and name in arrays), None)


def _valid(name: str, arrays: Mapping[str, Any], specs: Mapping[str, Any], nodata: Mapping[str, Any]) -> np.ndarray:
    """Where a band has data: bool (y, x)."""
    array, spec = arrays[name], specs[name]
    if spec.fields and (spec.fill is not None or spec.field("fill")):
        return ~flags.without_data(array, spec)
    value = nodata.get(name)
    value = spec.fill if value is None else value
    valid = np.isfinite(array) if array.dtype.kind == "f" else np.ones(array.shape, bool)
    if value is not None and not np.isnan(value):
        valid &= array != value
    other = spec.fill_from or (_quality(specs, arrays) if value is None else None)
    if other is not None and other in arrays and other != name:
        valid &= _valid(other, arrays, specs, nodata)
    return valid


def _clear(arrays: Mapping[str, Any], specs: Mapping[str, Any], alpha: np.ndarray) -> np.ndarray:
    """Cells to measure the stretch on: clear ones without snow, if there are enough of them."""
    shown = alpha > 0
    name = _quality(specs, arrays)
    if name is None:
        return shown
    codes = flags.codes_of(_nearest(arrays[name], alpha.shape), specs[name])
    enough = max(20, shown.sum() * 0.03)
    snow = specs[name].field("snow")
    bare = shown & (_field(codes, snow) == 0) if snow else shown
    for cells in (bare, shown):
        for field, wanted in (("clear", 1), ("adjacent", 0), ("cloud", 0)):
            flag = specs[name].field(field)
            if flag is not None:
                calm: np.ndarray = cells & (_field(codes, flag) == wanted)
                if calm.sum() >= enough:
                    return calm
    return shown


# --- size


def _fit(shape: tuple[int, int]) -> tuple[int, int]:
    """Shape of the picture of a product: never larger than it, nor than `MAX_SIDE`."""
    longest = max(shape)
    if longest <= MAX_SIDE:
        return shape
    height, width = (max(1, (side * MAX_SIDE + longest // 2) // longest) for side in shape)
    return height, width


def _cells(shape: tuple[int, int]) -> tuple[Cells, Cells]:
    rows, columns = (Cells.cut(*sides, Fraction(*sides)) for sides in zip(shape, _fit(shape), strict=True))
    return rows, columns


def _nearest(codes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if codes.shape == shape:
        return codes
    rows, columns = _cells(codes.shape)
    nearest: np.ndarray = codes[np.ix_(rows.centre, columns.centre)]
    return nearest


def _shrink(bands: list[np.ndarray], valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average bands by area over their valid cells.

    Returns
    -------
    values : float64 (band, y, x)
        Zero where nothing is valid.
    alpha : float64 (y, x)
        Share of each picture cell that is valid: colours are averaged with it as their
        weight (premultiplied), so fill does not bleed into the edge of a scene.
    """
    if _fit(valid.shape) == valid.shape:
        return np.stack([np.where(valid, band, 0).astype("float64") for band in bands]), valid.astype("float64")
    axes, values = _cells(valid.shape), np.empty((len(bands), *_fit(valid.shape)))
    for band, shrunk in zip(bands, values, strict=True):  # one at a time: a run's peak of memory is where it draws
        weight, total = _area(band, valid, axes)
        np.divide(total, np.maximum(weight, 1), out=shrunk)
    return values, weight / (axes[0].extent[:, None] * axes[1].extent)


def _area(band: np.ndarray, valid: np.ndarray, axes: tuple[Cells, Cells]) -> tuple[np.ndarray, np.ndarray]:
    """Weight of the valid cells of each picture cell by area, and sums weighted so; exact for integers."""
    overlay = Overlay(*axes)
    sums = Moments(Rule("sum", band.dtype, None, 0), overlay)
    weight, total = sums.partial(band, valid, Strip(0, overlay.rows.size, 0, len(band)))
    return weight, total


# --- composites and greys


def _paint(values: np.ndarray, alpha: np.ndarray, calm: np.ndarray, specs: list[BandSpec]) -> np.ndarray:
    """Stretch one or three bands (band, y, x), which are written over, to uint8 RGBA (y, x, 4)."""
    physical = all((spec.physical or spec.scale is not None) and spec.unit is None for spec in specs)
    if physical:
        terms = np.array([(1.0 if spec.physical else spec.scale or 1.0, spec.offset or 0.0) for spec in specs])
        values *= terms[:, :1, None]
        values += terms[:, 1:, None]
    natural = tuple(spec.common_name for spec in specs) == COMPOSITES[0] and all(
        spec.dtype == "uint16" or spec.physical for spec in specs
    )
    if natural and not physical and calm.any():  # 16-bit Level 1 has one gain, but haze makes the blue band bright
        values -= np.percentile(values[:, calm], 1, axis=1)[:, None, None]
    shown = alpha > 0
    painted = np.empty(values.shape, "uint8")
    for bands in [slice(0, 3)] if natural else [slice(i, i + 1) for i in range(len(values))]:
        points = _points(values[bands], calm, shown, NARROWEST[physical])
        painted[bands] = _tone(values[bands], points)
    picture = np.empty((*alpha.shape, 4), "uint8")
    picture[..., :3] = np.moveaxis(painted * shown, 0, -1)
    picture[..., 3] = np.rint(alpha * 255)
    return picture


def _points(values: np.ndarray, calm: np.ndarray, shown: np.ndarray, narrowest: float) -> tuple[float, float, float]:
    """Black point, knee and white point of a stretch of bands (band, y, x): of cells that are calm, and of all.

    Bands that are stretched together share them, so that grey stays grey: the darkest
    band sets the black point, the brightest the knee.
    """
    if not calm.any():
        return 0.0, 1.0, 1.0
    low, high = np.transpose([_percentiles(band[calm], 1, 98) for band in values])
    cloudy, white = np.transpose([_percentiles(band[shown], 98, 99.7) for band in values])
    low, high, cloudy, white = low.min(), high.max(), cloudy.max(), white.max()
    if cloudy > high > low:
        high = low + (high - low) ** (1 - CLOUD_WEIGHT) * (cloudy - low) ** CLOUD_WEIGHT
    white = max(high, white)
    short = (narrowest - (high - low)) / 2
    if short > 0:
        low, high = low - short, high + short
    return float(low), float(high), float(max(white, high))


def _percentiles(cells: np.ndarray, *shares: float) -> np.ndarray:
    """As `np.percentile`, which loads numpy.ma: a tenth of the time of a lone band's picture.

    >>> _percentiles(np.array([5.0, 1.0, 3.0]), 0, 25, 100)
    array([1., 2., 5.])
    """
    places = (cells.size - 1) * (np.array(shares) / 100)
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, cells.size - 1)
    ranked = np.partition(cells, [*below, *above])
    low, high, share = ranked[below], ranked[above], places - below
    found: np.ndarray = np.where(share < 0.5, low + (high - low) * share, high - (high - low) * (1 - share))
    return found


def _tone(values: np.ndarray, points: tuple[float, float, float]) -> np.ndarray:
    """Map values to 0..255: straight up to the knee, flatter from there to white, then gamma.

    Clouds and snow lie above the knee: they keep their texture in the rest of the range
    without darkening the land. Monotone, and straight throughout where nothing is that bright.
    """
    low, high, white = points
    knee = max(KNEE, (high - low) / (white - low))
    white = max(white, np.nextafter(high, np.inf))
    # Looked up in steps that are no coarser than a 16-bit band's own: a power for each cell takes ten times as long.
    last = (1 << 16) - 1
    steps = np.interp(np.linspace(low, white, last + 1), (low, high, white), (0.0, knee, 1.0))
    levels = np.rint(steps ** (1 / GAMMA) * 255).astype("uint8")
    toned = np.empty(values.shape, "uint8")
    for band, made in zip(values, toned, strict=True):
        places = (band - low) * (last / (white - low))
        made[...] = levels[np.rint(places.clip(0, last, out=places), out=places).astype("uint16")]
    return toned


# --- classes of a quality band


def _field(codes: np.ndarray, flag: BitField) -> np.ndarray:
    """Level of one field of each code; shifted first, so that any integer type will do."""
    return (codes >> flag.offset) & (flag.mask >> flag.offset)


def _classes(codes: np.ndarray, valid: np.ndarray, spec: BandSpec, title: str | None) -> np.ndarray:
    """Paint the classes of a quality band, with their legend to the right."""
    index, table = classify(codes, spec)
    counts = np.bincount(index[valid], minlength=len(table))
    small, shown = _nearest(index, _fit(codes.shape)), _nearest(valid, _fit(codes.shape))
    palette = np.array([[*entry.colour, 255] for entry in table], "uint8")
    picture = np.where(shown[..., None], palette[small], 0).astype("uint8")
    lines = [(entry, count / max(1, counts.sum())) for entry, count in zip(table, counts, strict=True) if count]
    return _beside(picture, _legend(lines, title or spec.name, spec.title or "Classes"))


def classify(codes: np.ndarray, spec: BandSpec) -> tuple[np.ndarray, tuple[CellClass, ...]]:
    """Class of each cell, an index (y, x) into the table that comes with it."""
    codes = flags.codes_of(codes, spec)
    if _band_flags(spec):
        return _saturation(codes, spec)
    if any(spec.field(name) for name in ("cloud", "cloud_confidence")):
        return _first(codes, spec, CLOUD_CLASSES), CLOUD_CLASSES
    if spec.field("level"):
        return _first(codes, spec, AEROSOL_CLASSES), AEROSOL_CLASSES
    return _values(codes)


def _first(codes: np.ndarray, spec: BandSpec, table: tuple[CellClass, ...]) -> np.ndarray:
    """Index of the first class of `table` that fits each code; the last takes what is left."""
    index = np.full(codes.shape, len(table) - 1, "uint8")
    for i in reversed(range(len(table) - 1)):
        for name, level in table[i].when:
            fits = _level(codes, spec, name) >= level
            index[fits] = i
    return index


def _level(codes: np.ndarray, spec: BandSpec, name: str) -> np.ndarray:
    """Level of a field; where there is none of that name, 1 where its confidence is the highest."""
    flag = spec.field(name)
    if flag is not None:
        return _field(codes, flag)
    flag = spec.field(dict(CONFIDENT).get(name, ""))
    if flag is None:
        return np.zeros(codes.shape, "uint8")
    highest: np.ndarray = _field(codes, flag) == flag.mask >> flag.offset
    return highest.astype("uint8")


def _saturation(codes: np.ndarray, spec: BandSpec) -> tuple[np.ndarray, tuple[CellClass, ...]]:
    """How many bands are saturated; dropped and occluded pixels apart."""
    count = sum((_field(codes, field).astype("uint8") for field in _band_flags(spec)), np.zeros(codes.shape, "uint8"))
    labels = ("Not saturated", "1 band saturated", "2 bands saturated", "3 or more saturated")
    table = tuple(CellClass(label, colour) for label, colour in zip(labels, SATURATION_COLOURS, strict=True))
    index = np.minimum(count, 3)
    for entry in (entry for entry in CLOUD_CLASSES if entry.when and entry.when[0][0] in ("occlusion", "dropped")):
        index[_level(codes, spec, entry.when[0][0]) > 0] = len(table)
        table = (*table, entry)
    return index, table


def _values(codes: np.ndarray) -> tuple[np.ndarray, tuple[CellClass, ...]]:
    """A class for each of the commonest values; codes that nothing is known of."""
    values, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    common = np.sort(np.argsort(-counts, kind="stable")[: len(CODE_COLOURS)])
    table = [CellClass(f"Value {values[i]}", CODE_COLOURS[n]) for n, i in enumerate(common)]
    place = np.full(len(values), len(common))
    place[common] = np.arange(len(common))
    return place[inverse].reshape(codes.shape), (*table, CellClass("Other", (96, 98, 102)))


def _legend(lines: list[tuple[CellClass, float]], title: str, subtitle: str) -> np.ndarray:
    """Draw swatches, names and shares on an opaque card: uint8 RGBA (y, x, 4)."""
    from PIL import Image, ImageDraw, ImageFont

    large, small = ImageFont.load_default(size=14), ImageFont.load_default(size=12)
    texts = [(entry, f"{entry.label}", _percent(share)) for entry, share in lines]
    names = max([small.getlength(label) for _, label, _ in texts], default=0)
    width = int(max(30 + names + 54, large.getlength(title), small.getlength(subtitle))) + 24
    card = Image.new("RGBA", (width, 58 + 22 * max(1, len(texts))), (252, 252, 253, 255))
    draw = ImageDraw.Draw(card)
    draw.text((12, 10), title, font=large, fill=(28, 32, 38))
    draw.text((12, 29), subtitle, font=small, fill=(104, 110, 118))
    for i, (entry, label, share) in enumerate(texts):
        top = 52 + 22 * i
        draw.rectangle((12, top, 27, top + 15), fill=entry.colour, outline=(140, 146, 152))
        draw.text((36, top + 8), label, font=small, fill=(28, 32, 38), anchor="lm")
        draw.text((width - 12, top + 8), share, font=small, fill=(28, 32, 38), anchor="rm")
    if not texts:
        draw.text((12, 52), "No data", font=small, fill=(28, 32, 38))
    return np.asarray(card)


def _percent(share: float) -> str:
    return "< 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def _beside(picture: np.ndarray, card: np.ndarray) -> np.ndarray:
    """Put the card to the right of the picture; what neither covers is transparent."""
    height, width = max(picture.shape[0], card.shape[0]), picture.shape[1] + card.shape[1]
    canvas = np.zeros((height, width, 4), "uint8")
    canvas[: picture.shape[0], : picture.shape[1]] = picture
    canvas[: card.shape[0], picture.shape[1] :] = card
    return canvas


def _png(picture: np.ndarray, title: str | None, shown: tuple[str, ...], *, smooth: bool) -> bytes:
    """Encode RGBA (y, x, 4) as a PNG; by GDAL, which a run has loaded anyway."""
    texts = {"Title": title or "", "Description": ", ".join(shown)}
    # Colours gain little by a longer search for repetitions.
    options = {"ZLEVEL": 2 if smooth else 6, "WRITE_METADATA_AS_TEXT": "YES"}
    # A position, which a PNG does not keep: without one rasterio warns, and in a thread no filter of warnings is safe.
    place = Affine(1, 0, 0, 0, -1, len(picture))
    data = np.ascontiguousarray(np.moveaxis(picture, 2, 0))
    with MemoryFile() as encoded, in_memory(data, place) as dataset:
        dataset.update_tags(**{key: text for key, text in texts.items() if text})
        copy(dataset, encoded.name, driver="PNG", **options)
        return bytes(encoded.read())
