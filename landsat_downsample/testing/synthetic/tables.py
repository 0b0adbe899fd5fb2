"""Numbers of synthetic scenes: spectra, calibration, codes of the quality bands."""

from __future__ import annotations

import numpy as np

from landsat_downsample.testing.synthetic import ground as land

#: Reflectance in coastal, blue, green, red, near infrared, short-wave infrared 1.6 and 2.2, and
#: temperature (K) and emissivity: of the darkest and of the brightest shade of each cover.
COVERS = {
    land.WATER: (
        (0.052, 0.060, 0.078, 0.062, 0.030, 0.010, 0.006, 295, 0.988),
        (0.030, 0.032, 0.028, 0.014, 0.006, 0.003, 0.002, 293, 0.988),
    ),
    land.FIELDS: (
        (0.070, 0.090, 0.130, 0.170, 0.230, 0.300, 0.240, 311, 0.964),
        (0.022, 0.030, 0.075, 0.036, 0.500, 0.190, 0.085, 298, 0.982),
    ),
    land.FOREST: (
        (0.012, 0.015, 0.028, 0.016, 0.230, 0.085, 0.034, 294, 0.986),
        (0.018, 0.024, 0.052, 0.028, 0.370, 0.150, 0.062, 296, 0.985),
    ),
    land.MEADOW: (
        (0.030, 0.040, 0.072, 0.062, 0.260, 0.200, 0.110, 300, 0.978),
        (0.032, 0.044, 0.092, 0.062, 0.400, 0.230, 0.120, 297, 0.980),
    ),
    land.ROCK: (
        (0.070, 0.085, 0.105, 0.120, 0.150, 0.170, 0.150, 297, 0.962),
        (0.130, 0.150, 0.185, 0.205, 0.250, 0.280, 0.250, 300, 0.960),
    ),
    land.TOWN: (
        (0.080, 0.095, 0.115, 0.125, 0.170, 0.190, 0.170, 308, 0.966),
        (0.160, 0.185, 0.210, 0.225, 0.270, 0.280, 0.260, 312, 0.962),
    ),
    land.SNOW: (
        (0.620, 0.640, 0.640, 0.620, 0.540, 0.070, 0.050, 271, 0.988),
        (0.930, 0.950, 0.940, 0.920, 0.820, 0.120, 0.090, 269, 0.989),
    ),
}

#: The same of plants in midwinter: stubble and bare soil, bare and evergreen trees, pale grass.
DORMANT = {
    land.FIELDS: (0.050, 0.068, 0.098, 0.125, 0.180, 0.240, 0.190, 311, 0.966),
    land.FOREST: (0.018, 0.024, 0.036, 0.036, 0.150, 0.110, 0.062, 294, 0.982),
    land.MEADOW: (0.040, 0.056, 0.090, 0.105, 0.210, 0.240, 0.165, 300, 0.972),
}

#: Kelvin by which midwinter is colder than midsummer on land, and on water.
COLDER = 24.0, 14.0

#: The same seven reflectances and the temperature of an opaque cloud, then what a clear sky adds at its top.
CLOUD = (0.76, 0.77, 0.76, 0.78, 0.80, 0.58, 0.44, 262.0)
PATH = (0.085, 0.065, 0.035, 0.020, 0.008, 0.002, 0.001)

#: Columns of `COVERS` whose mean a band sees, by common name.
COLUMNS = {
    "coastal": (0,), "blue": (1,), "green": (2,), "pan": (1, 2, 3), "red": (3,), "nir08": (4,), "nir09": (4,),
    "swir16": (5,), "swir22": (6,), "nir": (4,), "rededge071": (3, 4), "rededge075": (4,), "rededge078": (4,),
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
#: About those of real scenes; for the thermal bands the last two are K1 and K2.
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
GRAIN = {"uint16": 40.0, "uint8": 0.6, "int16": 12.0}

#: Scale and offset of Level 2 reflectance and temperature, as in the catalogue.
REFLECTANCE, KELVIN = (2.75e-05, -0.2), (0.00341802, 149.0)

#: Fill of the quality bands, and of the int16 bands of Level 2.
QA_FILL, NO_DATA = 1, -9999

#: Columns by which a band's edge may lie inside the footprint's: quality bands are fill in all of them.
EDGE = 2

#: Depth in a scan gap (eighths of a pixel) from which a band has no data, by its place in the focal plane, and
#: from which the quality bands have none.
GAP_STARTS, QA_GAP_STARTS = (0, 4, 8), -3


def spectra(summer: float = 1.0) -> np.ndarray:
    """Reflectances, temperature and emissivity of every cover code: float64, shape (codes, 9).

    Parameters
    ----------
    summer : float
        1 in midsummer, 0 in midwinter.
    """
    table = np.zeros((256, 9))
    for (first, count), (dark, bright) in COVERS.items():
        shade = np.linspace(0, 1, count)[:, None]
        table[first : first + count] = (1 - shade) * np.array(dark) + shade * np.array(bright)
    first, count = land.FIELDS
    codes, columns = np.arange(count)[:, None], np.arange(1, 8)[None, :]
    table[first : first + count, :7] *= 1 + 0.15 * np.sin(codes * 12.9898) + 0.06 * np.sin(codes * columns * 2.3)
    for cover, dormant in DORMANT.items():
        plants = table[cover[0] : sum(cover)]
        plants += 0.85 * (1 - summer) * (np.array(dormant) - plants)
    table[:, TEMPERATURE] -= COLDER[0] * (1 - summer)
    table[land.WATER[0] : sum(land.WATER), TEMPERATURE] += (COLDER[0] - COLDER[1]) * (1 - summer)
    return table


def planck(kelvin: np.ndarray | float, k1: float, k2: float) -> np.ndarray:
    """Radiance in W/(m2 sr um) of a black body, with a band's thermal constants."""
    return np.asarray(k1 / (np.exp(k2 / np.asarray(kelvin)) - 1))


def qa_pixel_codes(sensor: str) -> np.ndarray:
    """QA_PIXEL code of each value of `Ground.flags`, uint16, shape (256,): only codes that real files hold."""
    flags = np.arange(256)
    cloud = flags & land.IS_CLOUD != 0
    sure = np.where(cloud, 3, np.where(flags & land.IS_MEDIUM != 0, 2, 1)) << 8
    if sensor.startswith("mss"):
        return (sure | cloud << 3).astype(np.uint16)
    bits = land.IS_DILATED, land.IS_SHADOW, land.IS_SNOW, land.IS_WATER
    dilated, shadow, snow, water = ((flags & bit != 0) & ~cloud for bit in bits)
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
