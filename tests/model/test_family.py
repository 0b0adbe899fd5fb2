"""The tables of product families: each holds together, and says what the others say by the same words."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest

from landsat_downsample.formats import granule, product_id
from landsat_downsample.model import flags
from landsat_downsample.model.bands import find, specs
from landsat_downsample.model.family import families, file_name, of_sensor

FAMILIES = families()
#: Levels that a table may be of.
LEVELS = (1, 2, 3)
BANDS = [
    (sensor, level, spec)
    for family in FAMILIES.values()
    for sensor in sorted(family.sensors)
    for level in LEVELS
    for spec in specs(sensor, level).values()
]


@pytest.mark.parametrize("key", FAMILIES)
def test_the_example_of_each_is_read_as_one_of_it(key):
    family = FAMILIES[key]
    record = json.loads(resources.files("landsat_downsample.model").joinpath("families", f"{key}.json").read_text())
    example = record["example"]
    assert product_id.family_of(example) is family and product_id.unsupported(example) is None
    product = product_id.parse(example)
    if product is None:  # of before the Collections, whose names are no product IDs
        return
    assert product.id == example == product_id.parse(example.swapcase()).id
    assert specs(product.sensor, product.level) or family.not_scenes
    assert product.properties().get("datetime") or product.properties()["start_datetime"]
    assert all(kind.reader in ("", *granule.READERS) for kind in family.metadata.values())
    for spec in specs(product.sensor, product.level).values():
        parts = product_id.parse_file(file_name(product.sensor, example, spec.name))
        assert parts.product.id == example and find(parts.suffix, specs(product.sensor, product.level)) is spec


def test_each_name_means_one_band_of_a_product():
    for family in FAMILIES.values():
        for sensor in family.sensors:
            assert of_sensor(sensor) is family
            for level in LEVELS:
                words = [word for spec in specs(sensor, level).values() for word in spec.names]
                assert len(words) == len(set(words)), (sensor, level)


def test_every_band_says_what_a_reducer_must_know():
    for sensor, level, spec in BANDS:
        at = sensor, level, spec.name
        assert spec.title and spec.source and spec.dtype, at
        keys = {key.strip() for key in spec.source.split(",")}
        family = of_sensor(sensor)
        assert keys <= set(family.sources), at
        if spec.fill is not None:
            limits = np.iinfo(spec.dtype)
            assert limits.min <= spec.fill <= limits.max, at
        assert (spec.scale is None) == (spec.offset is None) or spec.kind in ("continuous", "azimuth"), at
        assert spec.fill_from is None or spec.fill_from in specs(sensor, level), at
        assert spec.kind in ("continuous", "azimuth", "class", "bits") and bool(spec.fields) >= (spec.kind == "bits"), (
            at
        )


def test_one_quality_band_of_each_has_flags_by_the_words_of_all():
    for family in FAMILIES.values():
        for sensor, level in {(sensor, level) for sensor in family.sensors for level in LEVELS}:
            quality = [spec for spec in specs(sensor, level).values() if spec.quality]
            assert len(quality) == bool(specs(sensor, level)), (sensor, level)
            for spec in quality:
                if not family.not_scenes:
                    flags.mask_bits(spec, ("cloud",))
                fields = [field for field in spec.fields if field.value is None]
                taken = sum(field.mask for field in fields)
                assert taken.bit_length() <= 8 * np.dtype(spec.dtype).itemsize
                assert taken == np.bitwise_or.reduce([field.mask for field in fields] or [0]), "fields overlap"
    for sensor, level in (("oli_tirs", 2), ("tm", 2), ("hls_l30", 3), ("hls_s30", 3), ("ard_etm", 2), ("dea_tm", 2)):
        quality = next(spec for spec in specs(sensor, level).values() if spec.quality)
        assert flags.mask_bits(quality, ("cloud", "shadow", "snow", "water"))
        assert {"valid", "clear", "cloud", "cloud_shadow", "snow", "water"} <= set(flags.fraction_names(quality))
    words = {"oli_tirs": "dilated_cloud", "hls_l30": "adjacent"}
    for sensor, name in words.items():
        quality = next(spec for level in (2, 3) for spec in specs(sensor, level).values() if spec.quality)
        assert quality.field("adjacent").name == quality.field("dilated").name == name


@pytest.mark.parametrize(
    ("sensor", "level", "band", "values"),
    [
        ("hls_s30", 3, "Fmask", range(256)),
        ("dea_oli_tirs", 2, "oa_fmask", range(6)),
        ("oli_tirs", 2, "QA_PIXEL", [1, 21824]),
    ],
)
def test_codes_come_back_as_they_were_stored(sensor, level, band, values):
    spec = specs(sensor, level)[band]
    stored = np.array(values, spec.dtype)
    codes = flags.codes_of(stored, spec)
    np.testing.assert_array_equal(flags.stored_as(codes, spec), stored)
    np.testing.assert_array_equal(flags.without_data(stored, spec), stored == spec.fill)
    np.testing.assert_array_equal(flags.codes_of(stored.astype("int32"), spec), codes)  # as arrays of others hold them
    assert flags.stored_as(np.array([flags.empty_code(spec)]), spec)[0] == spec.fill
