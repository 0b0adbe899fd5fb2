"""The table of indices: formulas, what they are called, and the whole numbers that stand for them."""

from fractions import Fraction

import numpy as np
import pytest

from landsat_downsample.errors import UsageError
from landsat_downsample.model import indices
from landsat_downsample.model.indices import INDICES

#: Reflectances of a leaf, soil, water, snow, a shadow; one that is negative, and one above 1.
VALUES = {
    "blue": [0.03, 0.08, 0.06, 0.9, 0.01, -0.01, 1.2],
    "green": [0.06, 0.12, 0.05, 0.92, 0.01, 0.02, 1.1],
    "red": [0.04, 0.18, 0.03, 0.91, 0.01, 0.011, 1.3],
    "nir08": [0.45, 0.25, 0.01, 0.8, 0.02, -0.01, 1.5],
    "swir16": [0.2, 0.32, 0.004, 0.1, 0.01, 0.03, 0.9],
    "swir22": [0.1, 0.28, 0.003, 0.08, 0.005, 0.02, 0.7],
    "lwir11": [300.0, 312.5, 288.1, 262.0, 295.2, 149.0, 373.0],
}
SCALINGS = {"l2": (2.75e-5, -0.2), "hls": (0.0001, 0.0), "odd": (0.1 / 3, -7.25)}


def given(index: indices.Index) -> list[np.ndarray]:
    return [np.array(VALUES[band]) for band in index.bands]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in INDICES if name != "lst"])
def test_formulas_are_those_of_awesome_spectral_indices(name):
    import spyndex

    short = {"blue": "B", "green": "G", "red": "R", "nir08": "N", "swir16": "S1", "swir22": "S2"}
    known = {short[band]: np.array(values) for band, values in VALUES.items() if band in short}
    constants = {"g": 2.5, "C1": 6, "C2": 7.5, "L": 0.5 if name == "savi" else 1}
    wanted = np.clip(spyndex.computeIndex(name.upper(), known | constants), -1, 1)
    np.testing.assert_allclose(INDICES[name].value(*given(INDICES[name])), wanted, rtol=1e-12)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("name", [name for name in INDICES if name != "msavi"])
def test_whole_numbers_stand_for_formulas_of_stored_ones(name, scaling):
    index, (scale, offset) = INDICES[name], SCALINGS[scaling]
    terms = index.terms([(scale, offset)] * len(index.bands))
    stored = [np.array([1, 7300, 12345, 65535, 9000, 7270, 40000]) + 31 * k for k in range(len(index.bands))]
    for numbers in zip(*(column.tolist() for column in stored), strict=True):
        above, below = index.exact(Fraction(repr(scale)) * n + Fraction(repr(offset)) for n in numbers)
        whole = terms.of(numbers)
        assert all(isinstance(part, int) for part in whole)
        assert whole[0] * below == whole[1] * above and (whole[1] == 0) == (below == 0)


def test_values_beyond_the_limits_and_without_a_denominator():
    ndvi = INDICES["ndvi"]
    np.testing.assert_allclose(
        ndvi.value([0.3, 0.1, -0.05, 0.2, 0.0, np.nan], [0.1, -0.05, 0.1, -0.2, 0.0, 0.1]),
        [0.5, 1, -1, np.nan, np.nan, np.nan],
    )
    assert INDICES["msavi"].value(-0.5, 0.4) < 0


def test_a_number_is_a_root_of_msavi():
    np.testing.assert_allclose(INDICES["msavi"].value(0.45, 0.04), (1.9 - np.sqrt(1.9**2 - 8 * 0.41)) / 2)
    assert INDICES["msavi"].terms([(1.0, 0.0)] * 2) is None


@pytest.mark.parametrize("order", indices.ORDERS)
@pytest.mark.parametrize("name", INDICES)
def test_a_band_of_an_index_is_known_by_its_name(name, order):
    spec = INDICES[name].spec(order)
    order = indices.MEAN_OF_INDEX if name == "lst" else order  # of one band both are the same
    assert indices.called(spec.name) == indices.called(spec.asset_key) == (INDICES[name], order)
    assert spec.averaged and spec.physical


def test_what_is_no_index():
    assert indices.called("SR_B4") is None
    assert indices.check_indices(["NDVI", "evi", "ndvi"]) == ("ndvi", "evi")
    with pytest.raises(UsageError, match=r"index 'ndvj' is unknown \(did you mean ndvi\?\): choose one of ndvi, evi"):
        indices.check_indices(["ndvj"])
    with pytest.raises(UsageError, match="index order 'index' is unknown"):
        indices.check_order("index")
