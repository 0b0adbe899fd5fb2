"""The pixels of each band of a synthetic scene, painted from its landscape a strip of rows at a time."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable

import numpy as np

from landsat_downsample.model.bands import BandSpec
from landsat_downsample.testing.synthetic import ground as land
from landsat_downsample.testing.synthetic import tables
from landsat_downsample.testing.synthetic.ground import Ground, Lattice
from landsat_downsample.testing.synthetic.tables import CALIBRATION, EDGE, NO_DATA, QA_FILL

#: Bands with a painter of their own, by name or common name; the others are painted by what their spec says.
SPECIAL = {
    "QA_PIXEL": "_qa_pixel",
    "QA_RADSAT": "_qa_radsat",
    "SR_QA_AEROSOL": "_aerosol",
    "SR_CLOUD_QA": "_cloud_qa",
    "ST_CDIST": "_cloud_distance",
    "ST_TRAD": "_radiance",
    "ST_EMIS": "_emissivity",
    "ST_EMSD": "_emissivity",
    "ST_QA": "_uncertainty",
    "Fmask": "_fmask",
    "QA_LINEAGE": "_lineage",
    "oa_fmask": "_classes",
    "oa_nbart_contiguity": "_contiguity",
    "oa_nbar_contiguity": "_contiguity",
    "oa_combined_terrain_shadow": "_contiguity",
    "oa_time_delta": "_time_delta",
    "cirrus": "_cirrus",
}

#: Mean of the smooth bands that describe the air, and how they follow the haze.
AIR = {"ST_ATRAN": (7600, -420), "ST_URAD": (1900, 330), "ST_DRAD": (1050, 150), "SR_ATMOS_OPACITY": (44, 13)}


class Painter:
    """Paints the bands of one landscape, some rows at a time, in any order and from any thread."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.recipe = ground.recipe
        self.width, self.height = self.recipe.size
        self.spectra = tables.spectra(self.recipe.summer)
        self._edges = {finer: self.recipe.footprint(np.arange(finer * self.height), finer) for finer in (1, 2)}
        images = [name for name in self.recipe.bands if name.startswith(("SR_B", "B"))]
        self._specks = {name: ground.specks[n :: len(images)] for n, name in enumerate(images)}
        self.saturated = self._saturated_inside()
        self._voids = self._void_boxes()
        self._nearness = _nearness(ground.fields["distance"])
        self._codes = tables.qa_pixel_codes(self.recipe.like)

    def rows(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop` of a band as it is stored, shape (stop - start, width of the band)."""
        return self._method(spec)(spec, start, stop)

    def _method(self, spec: BandSpec) -> Callable[[BandSpec, int, int], np.ndarray]:
        if special := SPECIAL.get(spec.name) or SPECIAL.get(self._colour(spec)):
            return getattr(self, special)
        if spec.name.startswith("GM_"):
            return self._gap_mask
        if spec.name in AIR:
            return self._air
        if spec.kind == "azimuth" or spec.unit == "degree":
            return self._angle
        if spec.group == "panchromatic":
            return self._pan
        return self._thermal if spec.group == "thermal" else self._reflective

    def _colour(self, spec: BandSpec) -> str:
        """What a band sees, by its common name, that of another of its wavelength, or what its key ends with."""
        alike = (
            other for other in self.recipe.bands.values() if spec.wavelength and other.wavelength == spec.wavelength
        )
        names = [spec.common_name, *(other.common_name for other in alike)]
        return next((name for name in names if name), str(spec.key).rpartition("_")[2])

    # images

    def _reflective(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        dn = self._reflected(spec, start, stop)
        dn += self._grain(spec, start, stop)
        return self._image(dn, spec, start)

    def _reflected(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """DN of a reflective band without noise, float32."""
        columns = list(tables.COLUMNS[self._colour(spec)])
        scale, offset = self._scaling(spec)
        ceiling = min((np.iinfo(str(spec.dtype)).max * scale + offset) / 1.15, 1.6)  # the most that is not saturated
        table = self.spectra[:, columns].mean(axis=1)
        cloud = float(np.mean([tables.CLOUD[column] for column in columns]))
        path = float(np.mean([tables.PATH[column] for column in columns])) if self.recipe.level == 1 else 0.0
        sun = math.sin(math.radians(self.recipe.sun[0])) if self.recipe.level == 1 else 1.0
        table = np.minimum((table * (1 - 1.5 * path) + path) * sun, ceiling)
        low = ((path * sun) - offset) / scale  # light that no shade takes away
        table = ((table - path * sun) / scale / 128).astype(np.float32)
        at = slice(start, stop)
        dn = table[self.ground.cover[at]] * self.ground.light[at]
        dn += np.float32(low)
        return self._under_cloud(dn, start, (min(cloud * sun, ceiling) - offset) / scale)

    def _under_cloud(self, dn: np.ndarray, start: int, cloud: float) -> np.ndarray:
        """Blend `dn` into the value of opaque cloud by the thickness above each pixel, in place."""
        thickness = self.ground.cloud[start : start + len(dn)] * np.float32(1 / 255)
        dn += thickness * (np.float32(cloud * 0.86) + thickness * np.float32(cloud * 0.14) - dn)
        return dn

    def _grain(self, spec: BandSpec, start: int, stop: int, width: int | None = None) -> np.ndarray:
        shift = zlib.crc32(spec.name.encode())
        noise = self.ground.noise.rows(start, stop, width or self.width, (shift & 2047, shift >> 11 & 2047))
        return noise * np.float32(tables.GRAIN[str(spec.dtype)] / 32)

    def _scaling(self, spec: BandSpec) -> tuple[float, float]:
        """Scale and offset from DN to reflectance, or to temperature or radiance of a thermal band."""
        if spec.scale is not None:
            zero = 273.15 if spec.unit == "degree_Celsius" else 0.0
            return spec.scale, (spec.offset or 0.0) + zero
        calibration = CALIBRATION[self.recipe.like][spec.name]
        return calibration[:2] if spec.group == "thermal" else calibration[2:]

    def _thermal(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        scale, offset = self._scaling(spec)
        kelvin, slope = np.append(self.spectra[:, tables.TEMPERATURE], tables.CLOUD[-1]), 1.0
        if self.recipe.level == 1:
            constants = CALIBRATION[self.recipe.like][spec.name][2:]
            slope = float(tables.planck(296, *constants) - tables.planck(295, *constants))
            kelvin = tables.planck(np.maximum(kelvin, 200) - 4, *constants)
        table = np.clip((kelvin - offset) / scale, _least(spec), np.iinfo(str(spec.dtype)).max - 1).astype(np.float32)
        dn = table[:-1][self.ground.cover[start:stop]]
        dn += self._warmth(start, stop) * np.float32(slope / scale)
        dn = self._under_cloud(dn, start, float(table[-1]))
        dn += self._grain(spec, start, stop) * np.float32(0.12)
        return self._image(dn, spec, start)

    def _warmth(self, start: int, stop: int) -> np.ndarray:
        """Kelvin by which a pixel is warmer than its cover: cold heights, smooth as a thermal band is."""
        warmth = self.ground.fields["height"].rows(start, stop, self.width)
        warmth *= np.float32(-2.2)
        warmth += np.float32(0.7) * self.ground.detail.rows(start, stop, self.width, (211, 31))
        return warmth

    def _cirrus(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        scale, offset = self._scaling(spec)
        strength = self.ground.fields["cirrus"].rows(start, stop, self.width)
        dn = np.clip(strength, 0, None) * np.float32(0.02 / scale)
        dn += self.ground.cloud[start:stop] * np.float32(0.008 / 255 / scale)
        dn += np.float32((0.0012 - offset) / scale)
        dn += self._grain(spec, start, stop) * np.float32(0.1)
        return self._image(dn, spec, start)

    def _pan(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        first, last = start // 2, (stop - 1) // 2 + 2
        coarse = self._reflected(spec, first, min(last, self.height))
        if last > self.height:
            coarse = np.concatenate((coarse, coarse[-1:]))
        dn = np.empty((stop - start, 2 * self.width - 1), np.float32)
        for row in range(start, stop):
            line = coarse[row // 2 - first]
            if row % 2:
                line = (line + coarse[row // 2 - first + 1]) / 2
            dn[row - start, ::2] = line
            dn[row - start, 1::2] = (line[1:] + line[:-1]) / 2
        dn += self._grain(spec, start, stop, dn.shape[1])
        return self._image(dn, spec, start, finer=2)

    def _image(self, dn: np.ndarray, spec: BandSpec, start: int, finer: int = 1) -> np.ndarray:
        """Store `dn` as the band's type: never fill nor saturated by itself; then saturation, then fill."""
        top, fill = np.iinfo(str(spec.dtype)).max, spec.fill or 0
        np.clip(dn, _least(spec), top - 1, out=dn)
        out = np.rint(dn, out=dn).astype(spec.dtype)
        if finer == 1:
            self._saturate(out, spec, start, top)
            self._put(out, start, self._specks.get(spec.name), fill)
        if self.recipe.level == 2 and spec.group == "thermal":
            self._empty(out, start, fill)
        return self._outside(out, spec, start, fill, finer)

    def _saturate(self, out: np.ndarray, spec: BandSpec, start: int, top: int) -> None:
        band = spec.name.removeprefix("SR_")
        groups = [n for n, bands in enumerate(tables.SATURATES[self.recipe.like]) if band in bands]
        indices, group = self.saturated
        self._put(out, start, indices[np.isin(group, groups)], top)

    # other bands of Level 2

    def _radiance(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        constants = CALIBRATION["oli"]["B10"][2:]
        kelvin = np.append(np.maximum(self.spectra[:, tables.TEMPERATURE], 200), tables.CLOUD[-1])
        table = (900 * tables.planck(kelvin, *constants)).astype(np.float32)
        values = table[:-1][self.ground.cover[start:stop]]
        values += 110 * self._warmth(start, stop)
        return self._int16(self._under_cloud(values, start, float(table[-1])), spec, start)

    def _emissivity(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """ST_EMIS, and ST_EMSD, its standard deviation."""
        values = (10000 * self.spectra[:, tables.EMISSIVITY]).astype(np.float32)[self.ground.cover[start:stop]]
        rough = self.ground.detail.rows(start, stop, self.width, (401, 811))
        values = values + 6 * rough if spec.name == "ST_EMIS" else np.abs(34 * rough) + (9900 - values)
        return self._int16(values, spec, start, voids=True)

    def _uncertainty(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """ST_QA: grows towards clouds."""
        values = 210 + 700 * self._nearness.rows(start, stop, self.width)
        values += 40 * self.ground.fields["haze"].rows(start, stop, self.width)
        return self._int16(values, spec, start, voids=True)

    def _air(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        level, gain = AIR[spec.name]
        values = level + gain * self.ground.fields["haze"].rows(start, stop, self.width)
        out = self._int16(values, spec, start)
        if spec.name == "SR_ATMOS_OPACITY":  # not retrieved over water
            out[self.ground.flags[start:stop] & land.IS_WATER != 0] = NO_DATA
        return out

    def _int16(self, values: np.ndarray, spec: BandSpec, start: int, voids: bool = False) -> np.ndarray:
        """Store what a surface temperature or reflectance was made from; overwrites `values`."""
        out = np.clip(np.rint(values, out=values), 1, 32000, out=values).astype(np.int16)
        if voids:
            self._empty(out, start, NO_DATA)
        return self._outside(out, spec, start, NO_DATA)

    def _cloud_distance(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        hundredths = self.recipe.mission.step / 10  # of a kilometre, a pixel
        distance = self.ground.fields["distance"].rows(start, stop, self.width) * np.float32(hundredths)
        out = np.clip(np.rint(distance), 1, 32000).astype(np.int16)
        out[self.ground.flags[start:stop] & land.IS_CLOUD != 0] = 0
        return self._outside(out, spec, start, NO_DATA)

    def _aerosol(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """SR_QA_AEROSOL: retrieved in the middle of each 3 x 3 window, interpolated elsewhere."""
        flags = self.ground.flags[start:stop]
        cloudy = flags & (land.IS_CLOUD | land.IS_DILATED) != 0
        haze = self.ground.fields["haze"].rows(start, stop, self.width)
        level = np.where(cloudy, 3, 1 + (haze > -0.4) + (haze > 1.1)).astype(np.uint8)
        middle = (np.arange(start, stop) % 3 == 1)[:, None] & (np.arange(self.width) % 3 == 1)
        out = level << 6 | np.where(middle & ~cloudy, np.uint8(2), np.uint8(32))
        out |= (flags & land.IS_WATER != 0) * np.uint8(4)
        return self._quality(out, start, QA_FILL)

    def _cloud_qa(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """SR_CLOUD_QA: one of cloud, shadow, adjacent, snow and dense vegetation, and water."""
        flags, cover = self.ground.flags[start:stop], self.ground.cover[start:stop]
        conditions = [flags & bit != 0 for bit in (land.IS_CLOUD, land.IS_SHADOW, land.IS_DILATED, land.IS_SNOW)]
        conditions.append((cover >= land.FOREST[0]) & (cover < sum(land.FOREST)))
        out = np.select(conditions, [np.uint8(code) for code in (2, 4, 8, 16, 1)], np.uint8(0))
        out |= (flags & land.IS_WATER != 0) * np.uint8(32)
        return self._quality(out, start, 0)

    # quality, angles, gap masks

    def _fmask(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """Fmask of HLS: cloud, what is adjacent to it, shadow, snow, water, and the level of aerosol."""
        flags = self.ground.flags[start:stop]
        haze = self.ground.fields["haze"].rows(start, stop, self.width)
        bits = (land.IS_CLOUD, 2), (land.IS_DILATED, 4), (land.IS_SHADOW, 8), (land.IS_SNOW, 16), (land.IS_WATER, 32)
        out = sum((flags & bit != 0) * np.uint8(code) for bit, code in bits)
        cloudy = flags & (land.IS_CLOUD | land.IS_DILATED) != 0
        out = out | np.where(cloudy, 3, 1 + (haze > -0.4) + (haze > 1.1)).astype(np.uint8) << 6
        return self._quality(out, start, spec.fill or 0)

    def _qa_pixel(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        return self._quality(self._codes[self.ground.flags[start:stop]], start, QA_FILL)

    def _lineage(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """Which source scene of a tile a pixel is of: the second one south of the middle."""
        rows = np.arange(start, stop)[:, None] > self.height // 2
        out = np.where(np.broadcast_to(rows, (stop - start, self.width)), np.uint8(2), np.uint8(1))
        return self._quality(out, start, spec.fill or 0)

    def _classes(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """Fmask of DEA: a class for each pixel."""
        flags = self.ground.flags[start:stop]
        found = [
            flags & bit != 0 for bit in (land.IS_CLOUD | land.IS_DILATED, land.IS_SHADOW, land.IS_SNOW, land.IS_WATER)
        ]
        out = np.select(found, [np.uint8(code) for code in (2, 3, 4, 5)], np.uint8(1))
        return self._quality(out, start, spec.fill or 0)

    def _contiguity(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """1 where all is well, 0 at specks and at the edge of what some band saw."""
        out = self._quality(np.ones((stop - start, self.width), np.uint8), start, 0)
        first, after = self._edges[1]
        return _frame(out, first[start:stop], after[start:stop], spec.fill or 0)

    def _qa_radsat(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        out = np.zeros((stop - start, self.width), np.uint16)
        indices, groups = self.saturated
        self._put(out, start, indices, tables.radsat_codes(self.recipe.like)[groups])
        return out

    def _angle(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """View and solar angles in hundredths of a degree, azimuths from -180 to 180; 0 outside the footprint."""
        across, along = self.recipe.swath(np.arange(start, stop))
        along *= np.float32(2 / self.height)
        elevation, azimuth = self.recipe.sun
        formulas: dict[str, Callable[[], np.ndarray]] = {
            "sensor_zenith_angle": lambda: np.abs(across) * np.float32(7.4) + np.float32(0.05),
            "sensor_azimuth_angle": lambda: (
                np.where(across > 0, np.float32(-82), np.float32(98)) + 4 * along - 3 * across
            ),
            "solar_zenith_angle": lambda: np.float32(90 - elevation) - across + np.float32(0.8) * along,
            "solar_azimuth_angle": lambda: np.float32(azimuth) + np.float32(1.3) * across + np.float32(0.6) * along,
        }
        usual = "solar_azimuth_angle" if spec.kind == "azimuth" else "solar_zenith_angle"
        angle = formulas[spec.standard_name or usual]()
        first, after = self._edges[1]
        at = slice(start, stop)
        if spec.scale is None:
            return _frame((angle % 360).astype(spec.dtype), first[at], after[at], np.nan)
        hundredths = np.rint(angle * 100)
        out = (hundredths if spec.dtype == "int16" else hundredths % 36000).astype(spec.dtype)
        return _frame(out, first[at], after[at], spec.fill or 0)

    def _time_delta(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """Seconds along the track."""
        _, along = self.recipe.swath(np.arange(start, stop))
        first, after = self._edges[1]
        return _frame(
            (along * np.float32(24 / self.height)).astype(spec.dtype), first[start:stop], after[start:stop], np.nan
        )

    def _gap_mask(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        finer = 2 if spec.group == "panchromatic" else 1
        out = np.ones((stop - start, finer * (self.width - 1) + 1), np.uint8)
        return self._outside(out, self.recipe.bands[spec.name.removeprefix("GM_")], start, 0, finer)

    # fill

    def _outside(self, out: np.ndarray, spec: BandSpec, start: int, fill: int, finer: int = 1) -> np.ndarray:
        """Set what this band did not see to `fill`, in place: outside the footprint, and in scan gaps."""
        place = self._place(spec)
        first, after = self._edges[finer]
        at = slice(start, start + len(out))
        if self.ground.depth is not None:
            out[self._gap_depth(start, len(out), finer) > tables.GAP_STARTS[place]] = fill
        return _frame(out, first[at] + place, after[at] + place - EDGE, fill)

    def _quality(self, out: np.ndarray, start: int, fill: int) -> np.ndarray:
        """Set what some band did not see to `fill`, in place."""
        first, after = self._edges[1]
        at = slice(start, start + len(out))
        if self.ground.depth is not None:
            out[self.ground.depth[at] > tables.QA_GAP_STARTS] = fill
        self._put(out, start, self.ground.specks, fill)
        return _frame(out, first[at] + EDGE, after[at] - EDGE, fill)

    def _place(self, spec: BandSpec) -> int:
        """Place of a band in the focal plane, 0 to `EDGE`: by it its edges differ from other bands'."""
        digits = [int(c) for c in spec.name if c.isdigit()]
        return digits[0] % (EDGE + 1) if digits else 1

    def _gap_depth(self, start: int, rows: int, finer: int) -> np.ndarray:
        depth = self.ground.depth
        assert depth is not None  # asked for where the recipe has gaps
        if finer == 1:
            return depth[start : start + rows]
        columns = np.arange(2 * self.width - 1) // 2
        return depth[np.arange(start, start + rows) // 2].take(columns, axis=1)

    def _put(self, out: np.ndarray, start: int, indices: np.ndarray | None, values: np.ndarray | int) -> None:
        """Set the pixels of a strip that `indices` (flat in the frame, ascending) name."""
        if indices is None:
            return
        low, high = np.searchsorted(indices, (start * self.width, (start + len(out)) * self.width))
        out.reshape(-1)[indices[low:high] - start * self.width] = (
            values[low:high] if isinstance(values, np.ndarray) else values
        )

    def _empty(self, out: np.ndarray, start: int, fill: int) -> None:
        """Set where no emissivity is known to `fill`: surface temperature has none there."""
        for top, left, side in self._voids:
            rows = slice(max(0, top - start), max(0, top + side - start))
            out[rows, left : left + side] = fill

    def _void_boxes(self) -> list[tuple[int, int, int]]:
        rng = np.random.default_rng([self.recipe.seed, 77])
        side = max(2, min(self.recipe.size) // 90)
        spots = rng.uniform(0.35, 0.65, (4, 2))
        return [(int(y * self.height), int(x * self.width), side) for y, x in spots]

    def _saturated_inside(self) -> tuple[np.ndarray, np.ndarray]:
        """Saturated pixels that the quality bands do not call fill."""
        indices, groups = self.ground.saturated
        row, column = np.divmod(indices, self.width)
        first, after = self._edges[1]
        inside = (column >= first[row] + EDGE) & (column < after[row] - EDGE)
        inside &= ~np.isin(indices, self.ground.specks)
        if self.ground.depth is not None:
            inside &= self.ground.depth.reshape(-1)[indices] <= tables.QA_GAP_STARTS
        return indices[inside], groups[inside]


def _least(spec: BandSpec) -> int:
    """The least number that a pixel with data is stored as: reflectance may be negative where its type is signed."""
    return -2000 if spec.dtype == "int16" else 1


def _frame(out: np.ndarray, first: np.ndarray, after: np.ndarray, fill: float) -> np.ndarray:
    """Set every row of `out` before column `first` and from column `after` on to `fill`, in place."""
    for line, begin, end in zip(out, first.tolist(), after.tolist(), strict=False):
        line[: max(begin, 0)] = fill
        line[max(end, begin, 0) :] = fill
    return out


def _nearness(distance: Lattice) -> Lattice:
    """1 at a cloud, falling to 1/e in 120 pixels."""
    return Lattice(np.exp(distance.values / -120).astype(np.float32), distance.step)
