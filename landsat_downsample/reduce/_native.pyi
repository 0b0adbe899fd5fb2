"""The C kernel, as the comments of its functions in `_native.c` tell; the last arrays are filled."""

import numpy as np

_Four = tuple[int, int, int, int]
_Axis = tuple[np.ndarray, int, int]
_Layout = tuple[int, int, int, int, int, int]

INTERFACE: int

def decode(
    handle: int, base: int, offsets: np.ndarray, counts: np.ndarray, layout: _Layout, out: np.ndarray, /
) -> None: ...
def decode_sums(
    handle: int,
    base: int,
    offsets: np.ndarray,
    counts: np.ndarray,
    layout: _Layout,
    rows: int,
    flip: int,
    nodata: int,
    down: _Axis,
    across: _Axis,
    totals: np.ndarray,
    weights: np.ndarray,
    /,
    *moments: np.ndarray,
) -> None: ...
def sums(
    pixels: np.ndarray,
    ok: np.ndarray | None,
    width: int,
    flip: int,
    nodata: int,
    down: _Axis,
    across: _Axis,
    totals: np.ndarray,
    weights: np.ndarray,
    /,
    *moments: np.ndarray,
) -> None: ...
def means(totals: np.ndarray, weights: np.ndarray, out: np.ndarray, facts: np.ndarray, /) -> None: ...
def spreads(counts: np.ndarray, totals: np.ndarray, squares: np.ndarray, out: np.ndarray, /) -> None: ...
def quality(
    pixels: np.ndarray,
    width: int,
    down: _Axis,
    across: _Axis,
    codes: np.ndarray,
    levels: np.ndarray,
    facts: tuple[int, int, int, int, int, int],
    least: np.ndarray | None,
    axes: np.ndarray,
    own: int,
    tally: np.ndarray,
    first: int,
    out: np.ndarray,
    percent: np.ndarray,
    /,
) -> None: ...
def histogram(
    pixels: np.ndarray,
    width: int,
    down: _Axis,
    across: _Axis,
    cells: np.ndarray,
    ranks: np.ndarray,
    counts: np.ndarray,
    /,
) -> None: ...
def share_areas(
    down: np.ndarray, right: np.ndarray, across: int, step: int, bits: int, pixels: _Four, window: _Four, /
) -> tuple[bytes, bytes]: ...
def count_shares(words: bytes, begins: bytes, rows: int, columns: int, cells: int, wide: int, /) -> tuple[int, int]: ...
def list_shares(
    words: bytes, begins: bytes, rows: int, columns: int, cells: int, wide: int, /, *arrays: np.ndarray
) -> None: ...
def sum_shares(
    words: bytes,
    begins: bytes,
    rows: int,
    columns: int,
    cells: int,
    wide: int,
    pixels: np.ndarray,
    ok: np.ndarray | None,
    flip: int,
    nodata: int,
    totals: np.ndarray,
    weights: np.ndarray,
    /,
    *more: np.ndarray,
) -> None: ...
def pair_shares(
    words: bytes,
    begins: bytes,
    rows: int,
    columns: int,
    cells: int,
    wide: int,
    codes: np.ndarray,
    counts: np.ndarray,
    /,
) -> tuple[bytes, bytes, bytes]: ...
def judge_pairs(
    cells: np.ndarray,
    codes: np.ndarray,
    weights: np.ndarray,
    meaning: np.ndarray,
    levels: np.ndarray,
    facts: tuple[int, int, int, int, int, int],
    least: np.ndarray | None,
    beyond: np.ndarray,
    centres: np.ndarray | None,
    out: np.ndarray,
    percent: np.ndarray,
    /,
) -> None: ...
def decode_shares(
    handle: int,
    base: int,
    offsets: np.ndarray,
    counts: np.ndarray,
    layout: _Layout,
    rows: int,
    flip: int,
    nodata: int,
    words: bytes,
    begins: bytes,
    cells: int,
    wide: int,
    totals: np.ndarray,
    weights: np.ndarray,
    /,
    *more: np.ndarray,
) -> None: ...
def tally(pixels: np.ndarray, counts: np.ndarray, /) -> None: ...
def index_pixels(
    first: np.ndarray,
    second: np.ndarray,
    third: np.ndarray,
    ok: np.ndarray | None,
    formula: np.ndarray,
    nodata: np.ndarray,
    signed: bool,
    out: np.ndarray,
    /,
) -> None: ...
def whole_sums(
    values: np.ndarray,
    ok: np.ndarray | None,
    width: int,
    none: int,
    down: _Axis,
    across: _Axis,
    totals: np.ndarray,
    weights: np.ndarray,
    /,
) -> None: ...
def sum_whole_shares(
    words: bytes,
    begins: bytes,
    rows: int,
    columns: int,
    cells: int,
    wide: int,
    values: np.ndarray,
    ok: np.ndarray | None,
    none: int,
    totals: np.ndarray,
    weights: np.ndarray,
    /,
    *moments: np.ndarray,
) -> None: ...
