"""The pixels of each band of a synthetic scene, painted from its landscape a strip of rows at a time."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable

import numpy as np

from landsat_downsample import _synthetic_ground as land
from landsat_downsample._bands import BandSpec
from landsat_downsample._synthetic_ground import Ground

#: Reflectance in coastal, blue, green, red, near infrared, short-wave infrared 1.6 and 2.2, and
#: temperature (K) and emissivity: of the darkest and of the brightest shade of each cover.
COVERS = (
    (land.WATER, (0.052, 0.060, 0.078, 0.062, 0.030, 0.010, 0.006, 295, 0.988), (0.030, 0.032, 0.028, 0.014, 0.006, 0.003, 0.002, 293, 0.988)),
    (land.FIELDS, (0.070, 0.090, 0.130, 0.170, 0.230, 0.300, 0.240, 311, 0.964), (0.022, 0.030, 0.075, 0.036, 0.500, 0.190, 0.085, 298, 0.982)),
    (land.FOREST, (0.012, 0.015, 0.028, 0.016, 0.230, 0.085, 0.034, 294, 0.986), (0.018, 0.024, 0.052, 0.028, 0.370, 0.150, 0.062, 296, 0.985)),
    (land.MEADOW, (0.030, 0.040, 0.072, 0.062, 0.260, 0.200, 0.110, 300, 0.978), (0.032, 0.044, 0.092, 0.062, 0.400, 0.230, 0.120, 297, 0.980)),
    (land.ROCK, (0.070, 0.085, 0.105, 0.120, 0.150, 0.170, 0.150, 297, 0.962), (0.130, 0.150, 0.185, 0.205, 0.250, 0.280, 0.250, 300, 0.960)),
    (land.TOWN, (0.080, 0.095, 0.115, 0.125, 0.170, 0.190, 0.170, 308, 0.966), (0.160, 0.185, 0.210, 0.225, 0.270, 0.280, 0.260, 312, 0.962)),
    (land.SNOW, (0.620, 0.640, 0.640, 0.620, 0.540, 0.070, 0.050, 271, 0.988), (0.930, 0.950, 0.940, 0.920, 0.820, 0.120, 0.090, 269, 0.989)),
)  # fmt: skip

#: The same seven reflectances and the temperature of an opaque cloud, then what a clear sky adds at its top.
CLOUD = (0.76, 0.77, 0.76, 0.78, 0.80, 0.58, 0.44, 262.0)
PATH = (0.085, 0.065, 0.035, 0.020, 0.008, 0.002, 0.001)

#: Columns of `COVERS` whose mean a band sees, by common name.
COLUMNS = {
    "coastal": (0,), "blue": (1,), "green": (2,), "pan": (1, 2, 3), "red": (3,), "nir08": (4,), "nir09": (4,),
    "swir16": (5,), "swir22": (6,),
}  # fmt: skip
TEMPERATURE, EMISSIVITY = 7, 8

#: Bands that saturate in each group of `Ground.saturated`, and the bit of QA_RADSAT of each.
SATURATES = {
    "oli": (("B1",), ("B1", "B2"), ("B2", "B3", "B4", "B5"), ("B6", "B7"), ()),
    "etm": (("B1",), ("B1", "B3"), ("B1", "B2", "B3"), ("B5", "B7", "B6_VCID_2"), ()),
    "tm": (("B1",), ("B1", "B3"), ("B1", "B2", "B3"), ("B5", "B7"), ()),
    "mss": (("B1",), ("B1", "B2"), ("B1", "B2", "B3"), ("B4",), ()),
    "mss123": (("B4",), ("B4", "B5"), ("B4", "B5", "B6"), ("B7",), ()),
}
SATURATION_BIT = {f"B{n}": n - 1 for n in range(1, 8)} | {"B6_VCID_1": 5, "B6_VCID_2": 8}
OCCLUSION_BIT = 11

#: Level 1 calibration by sensor and band: radiance per DN and its offset, reflectance per DN and its offset.
#: Published values of real scenes; for the thermal bands the last two are K1 and K2.
CALIBRATION = {
    "oli": {
        "B1": (1.2402e-02, -62.00937, 2.0e-05, -0.1), "B2": (1.2700e-02, -63.49827, 2.0e-05, -0.1),
        "B3": (1.1703e-02, -58.51323, 2.0e-05, -0.1), "B4": (9.8683e-03, -49.34152, 2.0e-05, -0.1),
        "B5": (6.0389e-03, -30.19461, 2.0e-05, -0.1), "B6": (1.5018e-03, -7.50909, 2.0e-05, -0.1),
        "B7": (5.0619e-04, -2.53097, 2.0e-05, -0.1), "B8": (1.1168e-02, -55.84103, 2.0e-05, -0.1),
        "B9": (2.3602e-03, -11.80075, 2.0e-05, -0.1), "B10": (3.3420e-04, 0.1, 774.8853, 1321.0789),
        "B11": (3.3420e-04, 0.1, 480.8883, 1201.1442),
    },
    "etm": {
        "B1": (7.7874e-01, -6.97874, 1.2386e-03, -0.011100), "B2": (7.9882e-01, -7.19882, 1.3938e-03, -0.012560),
        "B3": (6.2165e-01, -5.62165, 1.3200e-03, -0.011937), "B4": (9.6929e-01, -6.06929, 2.9308e-03, -0.018351),
        "B5": (1.2622e-01, -1.12622, 1.8445e-03, -0.016458), "B6_VCID_1": (6.7087e-02, -0.06709, 666.09, 1282.71),
        "B6_VCID_2": (3.7205e-02, 3.16280, 666.09, 1282.71), "B7": (4.3898e-02, -0.39390, 1.7473e-03, -0.015679),
        "B8": (9.7559e-01, -5.67559, 2.3953e-03, -0.013935),
    },
    "tm": {
        "B1": (7.6583e-01, -2.28583, 1.2589e-03, -0.003757), "B2": (1.4482e+00, -4.28819, 2.6097e-03, -0.007727),
        "B3": (1.0440e+00, -2.21398, 2.2022e-03, -0.004670), "B4": (8.7602e-01, -2.38602, 2.7271e-03, -0.007428),
        "B5": (1.2035e-01, -0.49035, 1.8090e-03, -0.007371), "B6": (5.5375e-02, 1.18243, 607.76, 1260.56),
        "B7": (6.5551e-02, -0.21555, 2.5618e-03, -0.008424),
    },
    "mss": {
        "B1": (8.8504e-01, 1.51496, 1.6132e-03, 0.002761), "B2": (6.6024e-01, 2.03976, 1.3924e-03, 0.004302),
        "B3": (5.5866e-01, 4.34134, 1.4673e-03, 0.011402), "B4": (4.6654e-01, 1.03346, 1.8155e-03, 0.004022),
    },
    "mss123": {
        "B4": (9.7638e-01, -0.97638, 1.7226e-03, -0.001723), "B5": (7.8740e-01, -0.78740, 1.6286e-03, -0.001629),
        "B6": (6.8504e-01, -0.68504, 1.7500e-03, -0.001750), "B7": (6.0236e-01, -0.60236, 2.2143e-03, -0.002214),
    },
}  # fmt: skip

#: DN of the sensor's noise, standard deviation; with the texture of the ground it gives files as large as real ones.
GRAIN = {"uint16": 40.0, "uint8": 0.6}

#: Scale and offset of Level 2 reflectance and temperature, as in the catalogue.
REFLECTANCE, KELVIN = (2.75e-05, -0.2), (0.00341802, 149.0)

#: Fill of the quality bands, and of the int16 bands of Level 2.
QA_FILL, NO_DATA = 1, -9999

#: Columns by which a band's edge may lie inside the footprint's: quality bands are fill in all of them.
EDGE = 2

#: Depth in a scan gap (eighths of a pixel) from which a band has no data, by its place in the focal plane, and
#: from which the quality bands have none.
GAP_STARTS, QA_GAP_STARTS = (0, 4, 8), -3


def spectra() -> np.ndarray:
    """Reflectances, temperature and emissivity of every cover code: float64, shape (codes, 9)."""
    table = np.zeros((256, 9))
    for (first, count), dark, bright in COVERS:
        shade = np.linspace(0, 1, count)[:, None]
        table[first : first + count] = (1 - shade) * np.array(dark) + shade * np.array(bright)
    first, count = land.FIELDS
    codes, columns = np.arange(count)[:, None], np.arange(1, 8)[None, :]
    table[first : first + count, :7] *= 1 + 0.15 * np.sin(codes * 12.9898) + 0.06 * np.sin(codes * columns * 2.3)
    return table


def planck(kelvin: np.ndarray | float, k1: float, k2: float) -> np.ndarray | float:
    """Radiance in W/(m2 sr um) of a black body, with a band's thermal constants."""
    return k1 / (np.exp(k2 / np.asarray(kelvin)) - 1)


def qa_pixel_codes(sensor: str) -> np.ndarray:
    """QA_PIXEL code of each value of `Ground.flags`, uint16, shape (256,): only codes that real files hold."""
    flags = np.arange(256)
    has = {bit: flags & bit != 0 for bit in (land.IS_CLOUD, land.IS_DILATED, land.IS_MEDIUM)}
    cloud = has[land.IS_CLOUD]
    sure = np.where(cloud, 3, np.where(has[land.IS_MEDIUM], 2, 1)) << 8
    if sensor.startswith("mss"):
        return (sure | cloud << 3).astype(np.uint16)
    dilated = has[land.IS_DILATED] & ~cloud
    shadow, snow, water = (flags & bit != 0 & ~cloud for bit in (land.IS_SHADOW, land.IS_SNOW, land.IS_WATER))
    cirrus = (flags & land.IS_CIRRUS != 0) & (cloud | ~snow)
    code = sure | dilated << 1 | cloud << 3 | shadow << 4 | snow << 5 | water << 7
    code |= np.where(shadow, 3, 1) << 10 | np.where(snow, 3, 1) << 12
    if sensor == "oli":
        code |= np.where(cirrus, 3, 1) << 14 | cirrus << 2 | (~cloud & ~dilated) << 6
    else:  # a known discrepancy of Landsat 4-7: clear says nothing of dilated cloud, and is 0 over water and in shadow
        code |= (~cloud & ~water & ~shadow) << 6
    return code.astype(np.uint16)


def radsat_codes(sensor: str) -> np.ndarray:
    """QA_RADSAT code of each group of saturated pixels, uint16."""
    codes = [sum(1 << SATURATION_BIT[band] for band in bands) for bands in SATURATES[sensor]]
    if sensor == "oli":
        codes[land.HIDDEN] = 1 << OCCLUSION_BIT
    return np.array(codes, np.uint16)


class Painter:
    """Paints the bands of one landscape, some rows at a time, in any order and from any thread."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.recipe = ground.recipe
        self.width, self.height = self.recipe.size
        self.spectra = spectra()
        self._edges = {finer: self.recipe.footprint(np.arange(finer * self.height), finer) for finer in (1, 2)}
        images = [name for name in self.recipe.bands if name.startswith(("SR_B", "B"))]
        self._specks = {name: ground.specks[n :: len(images)] for n, name in enumerate(images)}
        self.saturated = self._saturated_inside()
        self._voids = self._void_boxes()
        self._codes = qa_pixel_codes(self.recipe.sensor)

    def rows(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop` of a band as it is stored, shape (stop - start, width of the band)."""
        return self._method(spec)(spec, start, stop)

    def _method(self, spec: BandSpec) -> Callable[[BandSpec, int, int], np.ndarray]:
        special = {
            "QA_PIXEL": self._qa_pixel, "QA_RADSAT": self._qa_radsat, "SR_QA_AEROSOL": self._aerosol,
            "SR_CLOUD_QA": self._cloud_qa, "ST_CDIST": self._cloud_distance, "B9": self._cirrus,
            "VAA": self._angle, "VZA": self._angle, "SAA": self._angle, "SZA": self._angle,
        }  # fmt: skip
        mission = self.recipe.mission.sensor_id
        if spec.name.startswith("GM_"):
            return self._gap_mask
        if spec.name in special and not (spec.name == "B9" and mission != "OLI_TIRS"):
            return special[spec.name]
        if spec.fill == NO_DATA:
            return self._intermediate
        if spec.group == "panchromatic":
            return self._pan
        return self._thermal if spec.group == "thermal" else self._reflective

    # images

    def _reflective(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        dn = self._reflected(spec, start, stop)
        dn += self._grain(spec, start, stop)
        return self._image(dn, spec, start)

    def _reflected(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """DN of a reflective band without noise, float32."""
        columns = list(COLUMNS[spec.common_name])
        scale, offset = self._scaling(spec)
        ceiling = (np.iinfo(spec.dtype).max * scale + offset) / 1.15  # what the instrument can tell from saturation
        table = self.spectra[:, columns].mean(axis=1)
        cloud = float(np.mean([CLOUD[column] for column in columns]))
        path = float(np.mean([PATH[column] for column in columns])) if self.recipe.level == 1 else 0.0
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
        return noise * np.float32(GRAIN[spec.dtype] / 32)

    def _scaling(self, spec: BandSpec) -> tuple[float, float]:
        """Scale and offset from DN to reflectance, or to temperature or radiance of a thermal band."""
        if self.recipe.level == 2:
            return KELVIN if spec.group == "thermal" else REFLECTANCE
        calibration = CALIBRATION[self.recipe.sensor][spec.name]
        return calibration[:2] if spec.group == "thermal" else calibration[2:]

    def _thermal(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        scale, offset = self._scaling(spec)
        kelvin, slope = np.append(self.spectra[:, TEMPERATURE], CLOUD[-1]), 1.0
        if self.recipe.level == 1:
            constants = CALIBRATION[self.recipe.sensor][spec.name][2:]
            slope = float(planck(296, *constants) - planck(295, *constants))
            kelvin = planck(np.maximum(kelvin, 200) - 4, *constants)
        table = np.clip((kelvin - offset) / scale, 1, np.iinfo(spec.dtype).max - 1).astype(np.float32)
        dn = table[:-1][self.ground.cover[start:stop]]
        dn += self._warmth(start, stop) * np.float32(slope / scale)
        dn = self._under_cloud(dn, start, float(table[-1]))
        dn += self._grain(spec, start, stop) * np.float32(0.12)
        return self._image(dn, spec, start)

    def _warmth(self, start: int, stop: int) -> np.ndarray:
        """Kelvin by which a pixel is warmer than its cover: cold heights, smooth at the 100 m a thermal band resolves."""
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
        top = np.iinfo(spec.dtype).max
        np.clip(dn, 1, top - 1, out=dn)
        out = np.rint(dn, out=dn).astype(spec.dtype)
        if finer == 1:
            self._saturate(out, spec, start, top)
            self._put(out, start, self._specks.get(spec.name), 0)
        if self.recipe.level == 2 and spec.group == "thermal":
            self._empty(out, start, 0)
        return self._outside(out, spec, start, 0, finer)

    def _saturate(self, out: np.ndarray, spec: BandSpec, start: int, top: int) -> None:
        band = spec.name.removeprefix("SR_")
        groups = [n for n, bands in enumerate(SATURATES[self.recipe.sensor]) if band in bands]
        indices, group = self.saturated
        self._put(out, start, indices[np.isin(group, groups)], top)

    # other bands of Level 2

    def _intermediate(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """One of the int16 bands that a surface temperature or reflectance was made from."""
        haze = self.ground.fields["haze"].rows(start, stop, self.width)
        cover, detail = self.ground.cover[start:stop], self.ground.detail
        if spec.name == "ST_TRAD":
            k1, k2 = CALIBRATION["oli"]["B10"][2:]
            table = 900 * planck(np.maximum(self.spectra[:, TEMPERATURE], 200), k1, k2)
            values = table.astype(np.float32)[cover] + 110 * self._warmth(start, stop)
            values = self._under_cloud(values, start, float(900 * planck(CLOUD[-1], k1, k2)))
        elif spec.name in ("ST_EMIS", "ST_EMSD"):
            table = self.spectra[:, EMISSIVITY].astype(np.float32)
            rough = detail.rows(start, stop, self.width, (401, 811))
            values = (
                table[cover] * 10000 + 6 * rough
                if spec.name == "ST_EMIS"
                else np.abs(34 * rough) + 9900 * (1 - table[cover])
            )
        elif spec.name == "ST_QA":
            near = self.ground.fields["distance"].rows(start, stop, self.width)
            values = 210 + 700 * np.exp(near * np.float32(-1 / 120)) + 40 * haze
        else:
            level, gain = {"ST_ATRAN": (7600, -420), "ST_URAD": (1900, 330), "ST_DRAD": (1050, 150)}.get(
                spec.name, (44, 13)
            )
            values = level + gain * haze
        out = np.clip(np.rint(values), 1, 32000).astype(np.int16)
        if spec.name in ("ST_EMIS", "ST_EMSD", "ST_QA"):
            self._empty(out, start, NO_DATA)
        elif spec.name == "SR_ATMOS_OPACITY":  # not retrieved over water
            out[self.ground.flags[start:stop] & land.IS_WATER != 0] = NO_DATA
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

    def _qa_pixel(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        return self._quality(self._codes[self.ground.flags[start:stop]], start, QA_FILL)

    def _qa_radsat(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        out = np.zeros((stop - start, self.width), np.uint16)
        indices, groups = self.saturated
        self._put(out, start, indices, radsat_codes(self.recipe.sensor)[groups])
        return out

    def _angle(self, spec: BandSpec, start: int, stop: int) -> np.ndarray:
        """View and solar angles in hundredths of a degree, azimuths from -180 to 180; 0 outside the footprint."""
        across, along = self.recipe.swath(np.arange(start, stop))
        along *= np.float32(2 / self.height)
        elevation, azimuth = self.recipe.sun
        degrees = {
            "VZA": lambda: np.abs(across) * np.float32(7.4) + np.float32(0.05),
            "VAA": lambda: np.where(across > 0, np.float32(-82), np.float32(98)) + 4 * along - 3 * across,
            "SZA": lambda: np.float32(90 - elevation) - across + np.float32(0.8) * along,
            "SAA": lambda: np.float32(azimuth) + np.float32(1.3) * across + np.float32(0.6) * along,
        }[spec.name]()
        out = np.rint(degrees * 100).astype(np.int16)
        first, after = self._edges[1]
        return _frame(out, first[start:stop], after[start:stop], 0)

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
            out[self._gap_depth(start, len(out), finer) > GAP_STARTS[place]] = fill
        return _frame(out, first[at] + place, after[at] + place - EDGE, fill)

    def _quality(self, out: np.ndarray, start: int, fill: int) -> np.ndarray:
        """Set what some band did not see to `fill`, in place."""
        first, after = self._edges[1]
        at = slice(start, start + len(out))
        if self.ground.depth is not None:
            out[self.ground.depth[at] > QA_GAP_STARTS] = fill
        self._put(out, start, self.ground.specks, fill)
        return _frame(out, first[at] + EDGE, after[at] - EDGE, fill)

    def _place(self, spec: BandSpec) -> int:
        """Place of a band in the focal plane, 0 to `EDGE`: by it its edges differ from other bands'."""
        digits = [int(c) for c in spec.name if c.isdigit()]
        return digits[0] % (EDGE + 1) if digits else 1

    def _gap_depth(self, start: int, rows: int, finer: int) -> np.ndarray:
        if finer == 1:
            return self.ground.depth[start : start + rows]
        columns = np.arange(2 * self.width - 1) // 2
        return self.ground.depth[np.arange(start, start + rows) // 2].take(columns, axis=1)

    def _put(self, out: np.ndarray, start: int, indices: np.ndarray | None, values: np.ndarray | int) -> None:
        """Set the pixels of a strip that `indices` (flat in the frame, ascending) name."""
        if indices is None:
            return
        low, high = np.searchsorted(indices, (start * self.width, (start + len(out)) * self.width))
        out.reshape(-1)[indices[low:high] - start * self.width] = values if np.isscalar(values) else values[low:high]

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
            inside &= self.ground.depth.reshape(-1)[indices] <= QA_GAP_STARTS
        return indices[inside], groups[inside]


def _frame(out: np.ndarray, first: np.ndarray, after: np.ndarray, fill: int) -> np.ndarray:
    """Set every row of `out` before column `first` and from column `after` on to `fill`, in place."""
    for line, begin, end in zip(out, first.tolist(), after.tolist(), strict=False):
        line[: max(begin, 0)] = fill
        line[max(end, begin, 0) :] = fill
    return out
