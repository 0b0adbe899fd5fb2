"""Blocks of a lazy result: rows of cells, from rows of an array or straight from its file."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from affine import Affine

from landsat_downsample.api.array_meaning import NATURAL, Origin
from landsat_downsample.errors import UsageError
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.cells import Overlay
from landsat_downsample.model.flags import codes_of, without_data
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.placement import Placement
from landsat_downsample.pipeline.band import recognised
from landsat_downsample.pipeline.pixels import Rows, open_mask_band, read_band
from landsat_downsample.reduce.area_bits import reduce_quality_areas
from landsat_downsample.reduce.area_values import reduce_areas
from landsat_downsample.reduce.areas import Areas, areas_of
from landsat_downsample.reduce.bits import QualityRule, check_codes, reduce_quality, seem_classes
from landsat_downsample.reduce.index_pixels import IndexPixels
from landsat_downsample.reduce.rule import Rule
from landsat_downsample.reduce.several import reducer_of
from landsat_downsample.reduce.values import ReadRows, reduce_strips

#: Source rows per block of a lazy result: a quarter of a scene, so that two to four threads share it.
BLOCK_ROWS = 2048

#: What to do about numbers that look like classes.
_CLASSES = "give method='mode' if they are, method='mean' if they are not"


@dataclass(frozen=True, slots=True)
class Request:
    """What `coarsen` was asked for, checked."""

    method: str | None
    qa: str
    mask: tuple[str, ...]
    min_valid: Fraction
    stats: tuple[str, ...] = ()
    """Statistics of bands that are averaged, instead of the mean alone."""


def token(value: object) -> str:
    """A digest of what a value says of itself, for names in dask graphs."""
    from dask.base import tokenize

    return tokenize(str(value))


@dataclass(frozen=True, slots=True)
class Job:
    """What one block needs besides its rows; small, so that a task is a few kilobytes."""

    rule: Rule | QualityRule
    fine: Grid
    placed: Placement
    dtype: str
    pick: int = 0
    """Which of the reducer's arrays is wanted."""
    bits: int = 0
    """Quality bits of pixels that do not count."""
    quality: BandSpec | None = None
    """What the quality band is that they are of."""
    bands: int = 0
    """Leading dimension of the result, 0 for none."""
    request: Request | None = None
    rows: tuple[int, int] = (0, 0)
    """Cell rows of the block, first and past the last; none for all."""
    doubt: float | None = None
    """Value that attributes call no data and that counts all the same."""
    plain: str | None = None
    """Name of integers of which nothing says that they may be averaged."""
    others: tuple[Rule, ...] = ()
    """Other statistics of the same pixels: `run` gives an array for each, after that of `rule`."""
    index: IndexPixels | None = None
    """What is made of pixels of several bands, (bands, rows, columns)."""

    @property
    def dtypes(self) -> list[np.dtype]:
        """Stored type of each array."""
        return [np.dtype(self.dtype), *(rule.stored for rule in self.others)]

    @property
    def shape(self) -> tuple[int, int]:
        """Of the cells that are made."""
        height, width = self.placed.coarse.shape
        return self.rows[1] - self.rows[0] or height, width

    def cells(self) -> Overlay | Areas:
        """Lay the cells that are made over the pixels."""
        coarse, lattice, projection = self.placed.coarse, self.placed.lattice, self.placed.projection
        if projection is None:
            whole = Overlay.of(self.fine, coarse, lattice)
            return Overlay(whole.rows.part(*self.rows), whole.columns) if self.rows[1] else whole
        t = coarse.transform
        transform = Affine(t.a, 0.0, t.c, 0.0, t.e, t.f + self.rows[0] * t.e)
        return areas_of(self.fine, Grid(self.shape, transform, coarse.crs), lattice, projection)

    def run(self, read: ReadRows, *, given: bool = False) -> list[np.ndarray]:
        """Reduce what ``read(start, stop)`` gives of a band or an array."""
        cells = self.cells()
        if isinstance(self.rule, QualityRule):
            if isinstance(cells, Areas):
                found = reduce_quality_areas(self.rule, cells, read)
            else:
                found = reduce_quality(self.rule, cells, read)
            if given:  # not read from a file of ours: it may have been computed
                check_codes(found.code_counts, self.rule.spec, f"the array {self.rule.spec.name}")
            wanted = found.percent if self.pick and found.percent is not None else found.codes
            if np.dtype(self.dtype).kind == "f":
                wanted = np.where(without_data(found.codes, self.rule.spec), np.nan, found.codes)
            arrays = [wanted]
        elif isinstance(cells, Areas):
            arrays = reduce_areas([self.rule, *self.others], cells, [read])
        else:
            reducer = reducer_of((self.rule, *self.others), cells)
            parts = [made for _, made in reduce_strips(reducer, cells, read, self.rule.strip_rows)]
            arrays = [np.concatenate(part) for part in zip(*parts, strict=True)]
        return [array.astype(dtype, copy=False) for array, dtype in zip(arrays, self.dtypes, strict=True)]


def blocks(data: Any, quality: Any, job: Job, source: Origin | None) -> list[Any]:
    """The reduced arrays: at once for NumPy, else dask arrays of one block per row range."""
    if not hasattr(data, "dask"):
        return _reduce_rows(np.asarray(data), None if quality is None else np.asarray(quality), job, 0)
    import dask.array as da
    from dask.delayed import delayed

    digest = token((data.name, getattr(quality, "name", None) or id(quality), repr(job)))
    label = getattr(getattr(job.rule, "spec", None), "name", "band")
    count = len(job.dtypes)
    reduce_rows, reduce_file = (delayed(f, pure=True, nout=count) for f in (_reduce_rows, _reduce_file))
    parts: list[list[Any]] = [[] for _ in job.dtypes]
    for part in _parts(job, whole=bool(source and source.band.spec.candidates)):
        key = f"coarsen-{label}-{digest}-{part.rows[0]}"
        if source:
            block = reduce_file(source.band, source.quality, part, dask_key_name=key)
        else:
            start, stop = part.cells().window[:2]
            ok = None if quality is None else quality[start:stop]
            block = reduce_rows(data[..., start:stop, :], ok, part, start, dask_key_name=key)
        for made, array, dtype in zip(parts, block, job.dtypes, strict=True):
            made.append(da.from_delayed(array, (job.bands, *part.shape) if job.bands else part.shape, dtype))
    return [da.concatenate(made, axis=-2) for made in parts]


def _parts(job: Job, *, whole: bool) -> list[Job]:
    """Each block's: about `BLOCK_ROWS` source rows, or all of a file whose meaning all its codes tell."""
    cells, height = job.cells(), job.shape[0]
    if isinstance(cells, Areas):
        high = math.ceil(cells.ties.largest_cell[0])
    else:
        high = int((cells.rows.stop - cells.rows.start).max())
    step = height if whole else max(1, BLOCK_ROWS // max(1, high))
    return [replace(job, rows=(first, min(first + step, height))) for first in range(0, height, step)]


def _reduce_rows(values: np.ndarray, quality: np.ndarray | None, job: Job, start: int) -> list[np.ndarray]:
    if values.dtype.kind in "iu":
        _check_flags(values, job)
    elif job.doubt is not None:
        _warn_of_doubt(values, job.doubt)
    if job.plain and isinstance(job.rule, Rule):
        _warn_of_codes(values, job.rule.nodata, job.plain)
    bits = isinstance(job.rule, QualityRule)
    # Cells of another projection take the pixels of a window.
    columns = slice(None) if job.placed.projection is None else slice(*job.cells().window[2:])

    def read(a: int, b: int) -> tuple[np.ndarray, np.ndarray | None]:
        part, ok = values[..., a - start : b - start, columns], None
        if quality is not None:
            stored, known = whole_codes(quality[a - start : b - start, columns])
            clear = (codes_of(stored, job.quality) & job.bits) == 0 if job.quality else None
            ok = clear if known is None or clear is None else known & clear
        if bits and part.dtype.kind == "f":
            part, known = whole_codes(part)
            ok = known if ok is None else ok & known
        return job.index.given(list(part), ok, job.rule) if job.index and isinstance(job.rule, Rule) else (part, ok)

    return job.run(read, given=True)


def whole_codes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Codes that a stack of floats holds, and where it holds any; integers as they are.

    Raises
    ------
    UsageError
        They are no whole numbers: something was computed from codes.
    """
    if values.dtype.kind != "f":
        return values, None
    known = np.isfinite(values)
    codes = np.where(known, values, 0)
    if ((codes != np.rint(codes)) | (codes < 0) | (codes > 0xFFFF)).any():
        raise UsageError("a quality band in the stack holds fractions: take it out of the stack before computing")
    return codes.astype(np.uint16), known


def _check_flags(values: np.ndarray, job: Job) -> None:
    """Tell of integers that are but 0 and 1, one of which their name or attributes call no data or a code."""
    rule = job.rule
    stated = job.doubt if isinstance(rule, QualityRule) else rule.nodata
    if stated is None or stated not in NATURAL:
        return
    if values.max() != 1 or values.min() != 0:
        return
    if isinstance(rule, QualityRule):
        raise UsageError(
            f"cannot coarsen {rule.spec.name}: it was computed, and holds but 0 and 1: a flag, and no codes; "
            "give the condition itself (bool) for the share of true, or another name"
        )
    warnings.warn(
        f"an array of 0 and 1 calls {stated:g} no data, so that its cells are all alike: "
        "give the condition itself (bool) for the share of true",
        stacklevel=3,
    )


def _warn_of_doubt(values: np.ndarray, doubt: float) -> None:
    """Tell of stored numbers that were only made floats: thresholds and differences do not look like them."""
    number = values[~np.isnan(values)]
    if number.size and number.min() == doubt and number.max() > 100 and (number == np.rint(number)).all():
        warnings.warn(
            f"pixels of {doubt:g} were averaged as values, as in all computed floats, though the attributes call them "
            f"no data: if they are, mask them first: array.where(array != {doubt:g})",
            stacklevel=3,
        )


def _warn_of_codes(values: np.ndarray, nodata: float | None, name: str) -> None:
    """Tell of integers that look like classes, by some of them."""
    step = max(1, math.isqrt(values.size) // 64)
    some = values[::step, ::step]
    if words := seem_classes(some, nodata, some.size):
        warnings.warn(f"{name} {words}: {_CLASSES}", stacklevel=3)


def _reduce_file(band: Band, quality: Band | None, job: Job) -> list[np.ndarray]:
    from contextlib import nullcontext

    window = None if job.placed.projection is None else job.cells().window
    with open_mask_band(quality, job.bits, band.grid, window) if quality else nullcontext() as mask_band:

        def reduce(rows: Rows) -> list[np.ndarray]:
            spec, doubt = recognised(band, rows, window[:2] if window else (0, band.grid.height))
            known, request = job, job.request
            if doubt and request and request.method is None:
                warnings.warn(f"{band.name} {doubt}: {_CLASSES}", stacklevel=3)
            if request and spec is not band.spec and spec.kind == "bits":
                if request.stats:
                    raise UsageError(f"{band.name} is a quality band by its codes ({spec.title}): leave stats out")
                known = replace(job, rule=QualityRule(spec, request.method or request.qa, request.min_valid))
            return known.run(lambda a, b: (rows.read(a, b), mask_band.ok(a, b) if mask_band else None))

        return read_band(band, window, reduce)[0]
