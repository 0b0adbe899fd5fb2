"""One target from source pixels to written files: the pure heart that every executor calls."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from landsat_downsample.model import flags
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.cells import Cells, Overlay
from landsat_downsample.model.methods import POLICIES, STATS
from landsat_downsample.model.product import FRACTIONS, Product
from landsat_downsample.model.target import Target
from landsat_downsample.model.units import scaling_of
from landsat_downsample.pipeline.cell_statistics import statistics_of_cells
from landsat_downsample.pipeline.cog import BLOCK, Layer, cog, overview_shapes
from landsat_downsample.pipeline.index import index_reads
from landsat_downsample.pipeline.pixels import MaskBand, Rows, open_mask_band, open_rows, read_band
from landsat_downsample.reduce.area_bits import reduce_quality_areas
from landsat_downsample.reduce.area_values import reduce_areas
from landsat_downsample.reduce.areas import Areas, areas_of
from landsat_downsample.reduce.bits import (
    NO_PERCENT,
    QualityRule,
    check_codes,
    recognise,
    reduce_quality,
    seem_classes,
)
from landsat_downsample.reduce.rule import Rule, declared_nodata, rule_of
from landsat_downsample.reduce.several import Several, finish_sums, reducer_of
from landsat_downsample.reduce.values import ReadRows, reduce_strips, reducer_for
from landsat_downsample.storage.fetch_request import PixelWindow
from landsat_downsample.storage.files import reading
from landsat_downsample.storage.publication import Publication

#: The program by which USGS makes angle bands splits the vector to the sun or the satellite into parts along parallel
#: and meridian of the pixel (`gxx_angle_gen_calculate_vector`): its azimuths know of no grid with which to be turned.
TRUE_NORTH = "azimuths count clockwise from true north, as in the source: they are not turned with the grid"

#: Distinct codes of a file of unknown meaning beyond which it is no quality band.
MANY_CODES = 256

#: Longest side of the small copy of a band that the browse picture is made of: twice the picture
#: at least, so that its own reduction to 512 pixels decides how it looks.
PREVIEW = 1024


@dataclass(frozen=True, slots=True)
class Reduced:
    """A reduced band in memory."""

    spec: BandSpec
    """What the band turned out to be: as planned, or as its codes say."""
    data: np.ndarray
    """(y, x) on the coarse grid."""
    nodata: float | None
    method: str
    """How it was reduced, as recorded."""
    fractions: np.ndarray | None = None
    """(bands, y, x) uint8 percentages, for a quality band that gives them."""
    code_counts: dict[int, int] = field(default_factory=dict)
    """Source pixels by code, for a quality band."""
    notes: tuple[str, ...] = ()
    doubt: str = ""
    """Why its mean may be wrong; nothing where there is no doubt."""
    received: int = 0
    """Bytes that came over the network."""
    requests: int = 0
    others: tuple[Reduced, ...] = ()
    """Other statistics of the same pixels."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a target gave: facts for the metadata, a small copy for the picture."""

    name: str
    """USGS name of the band."""
    products: tuple[Product, ...]
    preview: np.ndarray
    """At most 1024 cells a side, of the band's own kind."""
    preview_nodata: float | None
    spec: BandSpec
    code_counts: dict[int, int]
    bytes_in: int
    """Bytes read: those that came over the network, else of the local files."""
    requests: int
    """Requests to remote stores, retries included."""
    seconds: float
    """CPU and wall cost are the executor's to measure; this is wall time of the target."""
    doubt: str = ""
    """As of `Reduced`."""
    picture: bytes | None = None
    """The product's browse picture, where it was drawn already."""


def reduce_target(target: Target, idle_threads: Callable[[], int] = lambda: 1) -> Reduced:
    """Read every pixel of a band once and reduce it.

    Parameters
    ----------
    idle_threads : callable
        Threads that the band may take, asked once it is open.

    Returns
    -------
    Reduced
        Its data on ``target.coarse``; the same bits whatever the strips or threads.

    Raises
    ------
    ReadError
        The source cannot be fetched, verified or decoded.
    SceneError
        A quality band holds codes that its name forbids.
    """
    cells = _cells_of(target)
    first, *others = target.sources
    # The mask band first: a target asks a host for one thing at a time, as limits of requests count targets.
    with reading(first.location), _mask_band(target, cells.window) as mask_band, ExitStack() as stack:
        beside = [stack.enter_context(open_rows(band, cells.window)) for band in others]
        reduced, file = read_band(
            first, cells.window, lambda rows: _reduce(target, cells, [rows, *beside], mask_band, idle_threads)
        )
        read = [file, *(rows.file for rows in beside), *([mask_band.rows.file] if mask_band else [])]
    return replace(reduced, received=sum(f.received for f in read), requests=sum(f.requests for f in read))


def _cells_of(target: Target) -> Overlay | Areas:
    if target.projection is None:
        return target.overlay()
    return areas_of(target.band.grid, target.coarse, target.lattice, target.projection)


def _mask_band(target: Target, window: PixelWindow) -> AbstractContextManager[MaskBand | None]:
    if target.quality is None:
        return nullcontext()
    quality = target.quality.spec
    bits = flags.mask_bits(quality, target.mask)
    if target.band.spec.fill_from:
        bits |= flags.fill_mask(quality)
    return open_mask_band(target.quality, bits, target.band.grid, window)


def _reduce(
    target: Target,
    cells: Overlay | Areas,
    bands: list[Rows],
    mask_band: MaskBand | None,
    idle_threads: Callable[[], int],
) -> Reduced:
    overlay = cells if isinstance(cells, Areas) else Overlay(cells.rows, cells.columns.shifted(*cells.window[2:]))
    if target.computed:
        return _reduced(target.band.spec, overlay, None, *index_reads(target, bands, mask_band, idle_threads()))
    [rows] = bands
    spec, doubt = recognised(target.band, rows, cells.window[:2])

    def read(start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        return rows.read(start, stop), mask_band.ok(start, stop) if mask_band else None

    if spec.fields:
        return _reduce_quality(target, spec, overlay, read)
    if mask_band:
        return _reduce_values(target, spec, overlay, None, [read])
    threads = idle_threads()
    reads: list[ReadRows] = [partial(_read_alone, part) for part in rows.readers(threads)]
    sums = rows.area_sums if isinstance(overlay, Areas) else partial(rows.sums, threads=threads)
    reduced = _reduce_values(target, spec, overlay, sums, reads)
    if not doubt or reduced.method != "mean":
        return reduced
    return replace(reduced, doubt=doubt, notes=(*reduced.notes, doubt))


def _read_alone(rows: Rows, start: int, stop: int) -> tuple[np.ndarray, None]:
    return rows.read(start, stop), None


def recognised(band: Band, rows: Rows, span: tuple[int, int]) -> tuple[BandSpec, str]:
    """Find out whether a file of unknown meaning is a quality band, by all of its codes.

    Parameters
    ----------
    band : Band
        Its spec is what its name says; returned unless it names candidates and one explains the codes.
    rows : Rows
        The open band.
    span : (int, int)
        First pixel row to look at, and the row after the last.

    Returns
    -------
    (spec, doubt)
        What it is; and why a mean of it may be wrong, or nothing.
    """
    spec = band.spec
    if not spec.candidates:
        return spec, ""
    least, most = np.iinfo(np.int16).min, np.iinfo(np.uint16).max
    seen = np.zeros(most - least + 1, bool)
    for start in range(*span, 512):
        values = rows.read(start, min(start + 512, span[1]))
        if values.dtype.kind not in "iu" or values.min() < least or values.max() > most:
            return spec, ""
        seen[values.ravel().astype(np.intp) - least] = True
        if np.count_nonzero(seen) > MANY_CODES:
            return spec, ""
    codes = np.flatnonzero(seen) + least
    unsigned = np.dtype(band.dtype).kind == "u" and np.dtype(band.dtype).itemsize <= np.dtype(np.uint16).itemsize
    if unsigned and (found := recognise(codes, spec.candidates)):
        return replace(found, name=spec.name), ""
    return spec, seem_classes(codes, band.nodata, (span[1] - span[0]) * band.grid.width)


def _reduce_values(
    target: Target, spec: BandSpec, overlay: Overlay | Areas, sums: Callable[..., Any] | None, reads: list[ReadRows]
) -> Reduced:
    """Reduce a continuous or class band; the cells are the same, however many threads do it.

    Where `sums` of an overlay and a nodata value are to be had, and will do, no pixel is written to memory;
    else each reader has a thread.
    """
    band = target.band
    # A file planned as a quality band that turned out to hold values is averaged like any other.
    methods = ("mean",) if target.method in ("conservative", "majority") else target.methods
    mask_role = "" if target.quality is None else "mask" if target.mask else "fill"
    share = Fraction(str(target.min_valid))
    known = partial(
        rule_of, spec, band.dtype, band.nodata, min_valid=share, mask_role=mask_role, scaling=target.scaling
    )
    rules = [known(method=method) for method in methods]
    notes: tuple[str, ...] = ()
    if spec.fill_from and not mask_role:
        notes = (f"no {spec.fill_from} beside it: pixels with the value {rules[0].nodata:g} were taken as fill",)
    if spec.kind == "azimuth" and target.projection:
        notes += (TRUE_NORTH,)
    return replace(
        _reduced(spec.as_physical(rules[0].stored.name) if target.scaling else spec, overlay, sums, rules, reads),
        notes=notes,
    )


def _reduced(
    spec: BandSpec,
    overlay: Overlay | Areas,
    sums: Callable[..., Any] | None,
    rules: list[Rule],
    reads: list[ReadRows],
) -> Reduced:
    """Cells of a band by each rule; arguments as of `_reduce_values`."""
    if isinstance(overlay, Areas):
        made = reduce_areas(rules, overlay, reads, sums(overlay, rules[0].nodata) if sums else None)
    else:
        made = _blocks(rules, overlay, sums, reads)
    first, *others = [Reduced(spec, d, declared_nodata(r), r.method) for r, d in zip(rules, made, strict=True)]
    return replace(first, others=tuple(others))


def _blocks(
    rules: list[Rule], overlay: Overlay, sums: Callable[..., Any] | None, reads: list[ReadRows]
) -> list[np.ndarray]:
    """Reduce cells whose sides are rows and columns of pixels, by each rule; arguments as of `_reduce_values`."""
    shape = overlay.rows.size, overlay.columns.size
    outs = [np.empty(shape, rule.stored) for rule in rules]
    several = reducer_of(rules, overlay)
    if sums and isinstance(several, Several) and not several.whole:
        summed = sums(overlay, rules[0].nodata, moments=several.moments)
        if summed is not None:
            with closing(summed):  # on every way out its threads have ended before the file is closed
                for cells, arrays in finish_sums(several, summed):
                    for out, data in zip(outs, arrays, strict=True):
                        out[cells] = data
            return outs

    def reduce(rows: slice, read: ReadRows) -> None:
        part = Overlay(overlay.rows.part(rows.start, rows.stop), overlay.columns)
        for cells, arrays in reduce_strips(reducer_of(rules, part), part, read, rules[0].strip_rows):
            for out, data in zip(outs, arrays, strict=True):
                out[rows][cells] = data

    side_by_side(reduce, shares(overlay.rows, len(reads)), reads)
    return outs


def _reduce_quality(target: Target, spec: BandSpec, overlay: Overlay | Areas, read: ReadRows) -> Reduced:
    policy = target.method if target.method in POLICIES else target.qa
    rule = QualityRule(spec, policy, Fraction(str(target.min_valid)), target.fractions is not None)
    if isinstance(overlay, Areas):
        found = reduce_quality_areas(rule, overlay, read)
    else:
        found = reduce_quality(rule, overlay, read)
    wrong = check_codes(found.code_counts, spec, target.key)
    notes: tuple[str, ...] = (f"{wrong} source pixels hold codes that {spec.name} cannot have",) if wrong else ()
    if target.band.spec.candidates:
        notes += (f"its codes say that it is a quality band ({spec.title}): reduced flag by flag, not averaged",)
    codes = found.codes.astype(target.band.dtype, copy=False)
    return Reduced(spec, codes, spec.fill, policy, found.percent, found.code_counts, notes)


def shares(rows: Cells, count: int) -> list[slice]:
    """Cut cell rows into parts of about as many pixel rows each.

    >>> shares(Cells.cut(1000, 100, Fraction(10)), 3)
    [slice(0, 33, None), slice(33, 66, None), slice(66, 100, None)]
    """
    edges = [rows.size * k // count for k in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(edges) if first < last]


def side_by_side(call: Callable[..., Any], *arguments: Iterable[Any]) -> None:
    """Make a call for each of some arguments, each on a thread; they may be asked to stop as the caller may."""
    first, *others = zip(*arguments, strict=False)
    with ThreadPoolExecutor(max(len(others), 1), thread_name_prefix="beside") as pool:
        waiting = [pool.submit(copy_context().run, call, *other) for other in others]
        call(*first)
        for future in waiting:
            future.result()


def process(
    target: Target,
    publication: Publication,
    idle_threads: Callable[[], int] = lambda: 1,
    draw: Callable[[Done], bytes] | None = None,
) -> Done:
    """Reduce a target and store its files; nothing is visible before the publication commits.

    Parameters
    ----------
    idle_threads : callable
        As of `reduce_target`.
    draw : callable, optional
        Draws the picture of a product that has no other band, while the files of this one are encoded and stored.
    """
    begun = time.perf_counter()
    reduced = reduce_target(target, idle_threads)
    small: np.ndarray = preview(reduced)
    done = Done(
        products=(),
        preview=small,
        preview_nodata=reduced.nodata,
        spec=reduced.spec,
        code_counts=reduced.code_counts,
        name=target.band.name,
        bytes_in=reduced.received or target.bytes_in,
        requests=reduced.requests,
        seconds=0.0,
        doubt=reduced.doubt,
    )
    products: list[Product] = []
    with ThreadPoolExecutor(1, thread_name_prefix="picture") as pool:
        picture = pool.submit(copy_context().run, draw, done) if draw else None
        waiting = deque((reduced, *reduced.others) if target.codes_written else ())
        reduced = replace(reduced, data=small, others=())  # what is stored gives its memory to what follows
        while waiting:
            products.append(_store_band(target, waiting.popleft(), publication))
        if reduced.fractions is not None:
            products.append(_store_fractions(target, reduced.spec, reduced.fractions, publication))
    seconds = time.perf_counter() - begun
    return replace(done, products=tuple(products), picture=picture.result() if picture else None, seconds=seconds)


def _store_band(target: Target, reduced: Reduced, publication: Publication) -> Product:
    band, spec = target.band, reduced.spec
    scale, offset, unit = _units(target, reduced)
    filename = target.files.get(reduced.method, target.filename)  # the plain one if it proved to be a quality band
    stat = "" if filename == target.filename else reduced.method
    title = band.description or spec.title or spec.name
    layer = Layer(
        nodata=reduced.nodata,
        resampling="nearest" if spec.kind != "continuous" else "average",
        descriptions=(f"{title}: {STATS[stat]}" if stat else title,),
        scale=scale,
        offset=offset,
        unit=unit,
    )
    facts = spec.name, reduced.method, reduced.notes
    return replace(_store(target, reduced.data[None], layer, publication, (filename, *facts)), stat=stat)


def _units(target: Target, reduced: Reduced) -> tuple[float | None, float | None, str | None]:
    """Scale, offset and unit that a file states of its cells, so that whoever opens it finds reflectance or kelvin."""
    band = target.band
    if reduced.method == "count":
        return None, None, "pixel"
    if reduced.spec.categorical:
        return band.scale, band.offset, band.unit
    unit = band.unit or reduced.spec.unit
    if target.scaling:
        return None, None, unit or "1"  # a unit is what tells its floats from stored numbers
    if band.scaling is None:
        return None, None, unit
    scale, offset = scaling_of(reduced.method, band.scaling) or (None, None)
    return scale, offset or None, unit if scale else None


def _store_fractions(target: Target, spec: BandSpec, data: np.ndarray, publication: Publication) -> Product:
    names = flags.fraction_names(spec)
    layer = Layer(nodata=NO_PERCENT, descriptions=names, unit="percent")
    return _store(target, data, layer, publication, (target.fractions, FRACTIONS, "fraction", ()))


def _store(target: Target, data: np.ndarray, layer: Layer, publication: Publication, facts: tuple[Any, ...]) -> Product:
    filename, name, method, notes = facts
    known = [statistics_of_cells(band, layer.nodata) for band in data]
    with cog(data, target.coarse, layer) as encoded:
        stored, size = publication.put(filename, encoded), len(encoded)
    return Product(
        band=name,
        filename=filename,
        method=method,
        dtype=data.dtype.name,
        nodata=layer.nodata,
        size=size,
        sha256=stored.sha256,
        etag=stored.etag,
        valid_fraction=known[0][0],
        statistics=tuple(statistics for _, statistics in known),
        names=tuple(n for n in layer.descriptions if n) if len(data) > 1 else (),
        scale=layer.scale,
        offset=layer.offset,
        unit=layer.unit,
        notes=notes,
        block_shape=(BLOCK, BLOCK),
        overviews=overview_shapes(data.shape[1:]),
    )


def preview(reduced: Reduced) -> np.ndarray:
    """A copy of a reduced band of at most 1024 cells a side, reduced again by what it means."""
    height, width = reduced.data.shape
    step = -(-max(height, width) // PREVIEW)
    if step == 1:
        return reduced.data
    axes = (Cells.cut(n, -(-n // step), Fraction(step)) for n in (height, width))
    overlay = Overlay(*axes)
    method = {"continuous": "mean", "azimuth": "nearest"}.get(reduced.spec.kind, "mode")
    nodata = reduced.nodata
    fill = nodata if nodata is not None else np.nan if reduced.data.dtype.kind == "f" else 0
    rule = Rule(method, reduced.data.dtype, nodata, fill, fill_is_legal=nodata is None)
    parts = reduce_strips(reducer_for(rule, overlay), overlay, lambda a, b: (reduced.data[a:b], None))
    return np.concatenate([data for _, (data,) in parts])
