"""Oracles of bit fields: the tables of the USGS, and one cell at a time. Nothing of ours but `Cells`."""

from __future__ import annotations

from fractions import Fraction

from landsat_downsample.model.cells import Cells, Overlay

# Tables: name, offset, length, rule of the conservative policy; of 2-bit levels, whether 2 is reserved.
_LOW = [("fill", 0, 1, "fill"), ("dilated", 1, 1, "any"), ("cirrus", 2, 1, "any"), ("cloud", 3, 1, "any")]
_LOW += [("shadow", 4, 1, "any"), ("snow", 5, 1, "any"), ("clear", 6, 1, "clear"), ("water", 7, 1, "majority")]
_HIGH = [("cloud_c", 8, 2, "max"), ("shadow_c", 10, 2, "max"), ("snow_c", 12, 2, "max"), ("cirrus_c", 14, 2, "max")]
PIXEL = {
    "oli_tirs": _LOW + _HIGH,
    "etm": [f for f in _LOW + _HIGH if not f[0].startswith("cirrus")],
    "tm": [f for f in _LOW + _HIGH if not f[0].startswith("cirrus")],
    "mss45": [_LOW[0], _LOW[3], _HIGH[0]],
}
PIXEL["mss123"] = PIXEL["mss45"]

# Codes that real scenes hold.
CODES = {
    "oli_tirs": [
        *(1, 21762, 21824, 21826, 21888, 21890, 21952, 22018, 22080, 22144, 22280, 23826, 23888, 23952),
        *(24082, 24088, 24144, 24216, 24344, 30048, 54534, 54596, 54852, 55052, 56598, 56660, 56854, 56916, 62820),
    ],
    "tm": [1, 5440, 5442, 5504, 5506, 5696, 5760, 5896, 7440, 7504, 7568, 7696, 7824, 7960, 8088, 13600, 13664, 13728],
    "mss45": [1, 256, 512, 776, 776, 0],
}
CODES["tm"][0:0] = [5504]  # water whose clear bit USGS left out, among codes that have it
CODES["etm"], CODES["mss123"] = CODES["tm"], CODES["mss45"]
SENSORS = sorted(PIXEL)


def level(code: int, offset: int, length: int) -> int:
    return code >> offset & ((1 << length) - 1)


def one_cell(pairs: list[tuple[int, Fraction]], table, policy: str) -> int:
    """The code of a cell from (code, area) of its pixels, by the rules as they are written down."""
    areas: dict[int, Fraction] = {}
    for code, area in pairs:
        if not code & 1:
            areas[code] = areas.get(code, Fraction(0)) + area
    if not areas:
        return 1
    if len(areas) == 1:
        return next(iter(areas))
    if policy == "mode":
        return min(areas, key=lambda code: (-areas[code], code))
    half, out = sum(areas.values()) / 2, 0
    for name, offset, length, rule in table:
        if rule in ("fill", "clear"):
            continue
        most = rule == "majority" or policy == "majority"
        for wanted in (1,) if length == 1 else (1, 3) if name != "cloud_c" else (1, 2, 3):
            share = sum(a for c, a in areas.items() if level(c, offset, length) >= wanted)
            if share >= half if most else share > 0:
                out = out & ~(((1 << length) - 1) << offset) | wanted << offset
    if any(rule == "clear" for *_, rule in table) and not out & 0b1010:
        out |= 1 << 6
    return out


def whole_area(overlay: Overlay, i: int, j: int) -> Fraction:
    """Area of a cell in pixels, be there pixels in it or not."""
    sides = (overlay.rows, i), (overlay.columns, j)
    high, wide = (Fraction(int(axis.whole[k]), axis.unit) for axis, k in sides)
    return high * wide


def shares(axis: Cells, i: int):
    low, high = int(axis.start[i]), int(axis.stop[i])
    for p in range(low, high):
        weight = axis.head[i] if p == low else axis.tail[i] if p == high - 1 else axis.unit
        yield p, Fraction(int(weight), axis.unit)
