"""Plans: options checked once, targets as the catalogue says, the same after a trip through JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import landsat_downsample as ld
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import ScenePlan, distinct, estimate, plan_scene
from landsat_downsample.model.target import Target
from landsat_downsample.model.words import words


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), sensor="etm", level=1, size=(131, 117))


@pytest.fixture(scope="module")
def scene(folder) -> ld.Scene:
    return ld.open_scene(folder)


def methods_of(plan: ScenePlan) -> dict[str, str]:
    return {target.band.name: target.method for target in plan.targets}


# Options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [7, 7.0, "7", np.int64(7), np.float32(7), Fraction(7)])
def test_one_number_has_one_form(factor):
    assert json.dumps(Options(factor=factor).to_dict()) == json.dumps(Options(factor=7).to_dict())


def test_sizes_have_one_form_too():
    options = Options(size=[np.int64(100), 0], min_valid=0.0)
    assert options.size == (100, 0) and options.to_dict() == Options(size=(100, 0)).to_dict()


BAD_OPTIONS = [
    ({}, "exactly one of factor, resolution and size, not none"),
    ({"factor": 2, "size": (9, 9)}, "not factor and size"),
    ({"factor": 0}, "factor 0 must be greater than zero"),
    ({"factor": float("nan")}, "not a number"),
    ({"factor": "many"}, "'many' is not a number"),
    ({"resolution": -30}, "resolution -30"),
    ({"size": 100}, "two whole numbers"),
    ({"size": (10.5, 0)}, "two whole numbers"),
    ({"size": (0, 0)}, "must be positive"),
    ({"factor": 2, "bands": ()}, "bands is an empty list"),
    ({"factor": 2, "bands": ("none",)}, "bands 'none': none is given alone, beside an index"),
    ({"factor": 2, "bands": ("none", "red"), "index": ("ndvi",)}, "bands 'none,red': none is given alone"),
    ({"factor": 2, "qa": "guess"}, "choose one of"),
    ({"factor": 2, "min_valid": 1.5}, "between 0 and 1"),
    ({"factor": 2, "min_valid": "half"}, "not a number"),
    ({"factor": 2, "methods": {"red": "guess"}}, "'guess' for red"),
    ({"factor": 2, "stats": ("mean", "maxi")}, r"stats 'maxi' is unknown \(did you mean max\?\): choose some of mean"),
    ({"factor": 2, "stats": ()}, "stats is an empty list"),
]


@pytest.mark.parametrize(("given", "rule"), BAD_OPTIONS, ids=lambda value: str(value)[:40])
def test_wrong_options_name_the_value_and_the_rule(given, rule):
    with pytest.raises(ld.UsageError, match=rule):
        Options(**given)


@pytest.mark.parametrize("given", [5, [5]])
def test_what_is_no_list_of_names(given):
    with pytest.raises(ld.UsageError, match=r"5\]? is no list of names: give them as"):
        words(given)


def test_words_come_in_a_string_or_a_list():
    assert words("red, nir08,,") == words(["red", "nir08 "]) == ("red", "nir08")


# Targets ---------------------------------------------------------------------------------------


def test_every_band_is_a_target_with_its_own_method(scene):
    plan = plan_scene(scene, "out", Options(factor=4))
    assert list(methods_of(plan)) == list(scene.bands)
    reported = methods_of(plan)
    assert (reported["B4"], reported["VAA"], reported["GM_B4"], reported["QA_PIXEL"]) == (
        "mean",
        "circular",
        "mode",
        "conservative",
    )
    assert plan.name == f"{scene.id}_downsampled" and plan.marker == f"{plan.name}.stac.json"
    (with_fractions,) = [target for target in plan.targets if target.fractions]
    assert with_fractions.fractions == f"{scene.id}_QA_FRACTIONS.TIF" and with_fractions.codes_written


def test_bands_are_chosen_by_any_of_their_names(scene):
    plan = plan_scene(scene, "out", Options(factor=4, bands=("red", "b3", "PAN")))
    assert list(methods_of(plan)) == ["B3", "B8"]
    assert not any(target.fractions for target in plan.targets)


def test_fractions_alone_read_the_quality_band_and_do_not_write_it(scene):
    (target,) = plan_scene(scene, "out", Options(factor=4, bands=("qa_fractions",))).targets
    assert (target.band.name, target.codes_written) == ("QA_PIXEL", False) and target.fractions


def test_a_mask_goes_to_continuous_bands_only(scene):
    plan = plan_scene(scene, "out", Options(factor=4, mask=("cloud",)))
    masked = {target.band.name for target in plan.targets if target.mask}
    assert masked == {name for name, band in scene.bands.items() if not band.spec.categorical}
    assert all(target.quality is scene.bands["QA_PIXEL"] for target in plan.targets if target.mask)


def test_statistics_are_those_of_averaged_bands_without_a_method_of_their_own(scene):
    given = Options(factor=4, stats=("std", "count", "mean", "std"), methods={"red": "max"})
    plan = plan_scene(scene, "out", given)
    several = {target.band.name: target for target in plan.targets if target.stats}
    averaged = {name for name, band in scene.bands.items() if name[0] == "B" and band.spec.kind == "continuous"}
    assert set(several) == averaged - {"B3"} and len(several) > 5  # red is B3 here; no angle, code or gap mask
    assert {(target.method, target.methods) for target in several.values()} == {("mean", ("mean", "std", "count"))}
    stem = f"{scene.id}_B4"
    assert several["B4"].files == {"mean": f"{stem}.TIF", "std": f"{stem}_STD.TIF", "count": f"{stem}_COUNT.TIF"}
    assert plan.targets == tuple(Target.from_dict(json.loads(json.dumps(t.to_dict()))) for t in plan.targets)
    alone, one = (plan_scene(scene, "out", Options(factor=4, bands=("nir08",), **s)) for s in ({}, {"stats": ("std",)}))
    assert estimate(one)["bytes_out"] == 4 * estimate(alone)["bytes_out"]  # float32 of a byte
    assert list(one.targets[0].files.values()) == [f"{scene.id}_B4_STD.TIF"]


def test_statistics_in_any_order_are_one_request(scene):
    one, other = (Options(factor=4, stats=stats) for stats in (("min", "mean"), ("mean", "min", "min")))
    assert one == other == Options.from_dict(json.loads(json.dumps(one.to_dict())))
    assert Options(factor=4).to_dict()["stats"] is None  # what was made before is made by the same request


def test_methods_are_changed_band_by_band(scene):
    plan = plan_scene(scene, "out", Options(factor=4, qa="majority", methods={"red": "median", "QA_RADSAT": "mode"}))
    reported = methods_of(plan)
    assert (reported["B3"], reported["B4"], reported["QA_RADSAT"], reported["QA_PIXEL"]) == (
        "median",
        "mean",
        "mode",
        "majority",
    )


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"methods": {"QA_PIXEL": "mean"}}, "its values are bits"),
        ({"methods": {"GM_B1": "mean"}}, "its values are classes"),
        ({"methods": {"cirrus": "max"}}, "'cirrus' is not in"),
        ({"bands": ("cirrus",)}, "'cirrus' is not in"),
        ({"mask": ("cirrus",)}, "mask 'cirrus'"),
    ],
)
def test_what_the_scene_cannot_give_is_refused(given, rule, scene):
    with pytest.raises(ld.UsageError, match=rule):
        plan_scene(scene, "out", Options(factor=4, **given))


def test_what_needs_a_quality_band_says_so(scene):
    blind = replace(scene, bands={"B3": scene.bands["B3"]})
    for given in ({"mask": ("cloud",)}, {"bands": ("QA_FRACTIONS",)}):
        with pytest.raises(ld.UsageError, match="QA_PIXEL, which"):
            plan_scene(blind, "out", Options(factor=4, **given))


def test_a_destination_is_needed(scene):
    with pytest.raises(ld.UsageError, match=r"'out\.tar' is named as an archive is: give a folder"):
        plan_scene(scene, "out.tar", Options(factor=4))
    with pytest.raises(ld.UsageError, match="destination is empty"):
        plan_scene(scene, " ", Options(factor=4))


# JSON ------------------------------------------------------------------------------------------

REQUESTS = [
    {"factor": 4},
    {"resolution": 71.5, "mask": ("cloud", "snow"), "min_valid": 0.25},
    {"size": (20, 0), "bands": ("red", "QA_FRACTIONS"), "methods": {"red": "max"}, "qa": "mode"},
]


@pytest.mark.parametrize("given", REQUESTS, ids=str)
def test_a_plan_comes_back_from_json(given, scene):
    plan = plan_scene(scene, "out", Options(**given), overwrite=True)
    text = json.dumps(plan.to_dict())
    back = ScenePlan.from_dict(json.loads(text))
    assert back == plan
    assert json.dumps(back.to_dict()) == text


def test_a_target_comes_back_from_json(scene):
    for target in plan_scene(scene, "out", Options(factor=4, mask=("cloud",))).targets:
        assert Target.from_dict(json.loads(json.dumps(target.to_dict()))) == target


def test_a_plan_from_json_runs_to_the_same_bytes(folder, tmp_path):
    (plan,) = ld.plan(folder, tmp_path / "a", factor=4, bands="red,QA_PIXEL")
    record = json.loads(json.dumps(plan.to_dict())) | {"dest": str(tmp_path / "b")}
    ld.run(plan)
    ld.run(ScenePlan.from_dict(record))
    made = [sorted((tmp_path / place).rglob("*.*")) for place in "ab"]
    assert [path.name for path in made[0]] == [path.name for path in made[1]]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(*made, strict=True) if one.is_file())


# Several scenes, and their cost ----------------------------------------------------------------


def test_a_plan_given_twice_is_one(scene):
    plan = plan_scene(scene, "out", Options(factor=4))
    assert distinct([plan, plan]) == [plan]
    elsewhere = replace(plan, dest="other")
    assert distinct([plan, elsewhere]) == [plan, elsewhere]
    with pytest.raises(ld.UsageError, match="both be written"):
        distinct([plan, replace(plan, scene=replace(scene, href="/copy"))])


def test_the_estimate_adds_up(scene):
    plan = plan_scene(scene, "out", Options(factor=4, bands=("red", "pan", "QA_PIXEL"), mask=("cloud",)))
    cost = estimate(plan)
    sizes = {name: scene.bands[name].size for name in ("B3", "B8", "QA_PIXEL")}
    assert cost["shape"] == [30, 33]
    assert cost["bytes_in"] == sum(sizes.values()) + 2 * sizes["QA_PIXEL"]  # read again beside each masked band
    decoded = {name: scene.bands[name].grid.height * scene.bands[name].grid.width for name in sizes}
    assert cost["bytes_decoded"] == decoded["B3"] + decoded["B8"] + 2 * decoded["QA_PIXEL"]
    fractions = 6  # valid, clear, cloud, shadow, snow, water: ETM+ has no cirrus
    assert cost["bytes_out"] == 30 * 33 * (1 + 1 + 2 + fractions)
    assert json.dumps(cost)


def test_the_estimate_of_memory_holds_codes_and_fractions(tmp_path):
    scene = ld.open_scene(ld.make_scene(tmp_path, bands=["QA_PIXEL"], size=(240, 220)))
    coarse, fine = (estimate(plan_scene(scene, "out", Options(factor=factor))) for factor in (4, 2))
    more = math.prod(fine["shape"]) - math.prod(coarse["shape"])
    assert fine["peak_memory"] - coarse["peak_memory"] == more * (2 + 7)
