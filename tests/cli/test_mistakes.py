"""What a newcomer mistypes is named, with what was meant; what only looks like a mistake is taken as written."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import call

import landsat_downsample as ld
from landsat_downsample.cli.main import make_parser

RUN = ("run", "scene", "--to", "out")


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    bands = ["SR_B4", "SR_B5", "QA_PIXEL"]
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(61, 57), bands=bands)


@pytest.mark.parametrize(
    ("argv", "option", "value"),
    [
        ((*RUN, "--factor", "10", "--bounds", "-150,-130,-140,-12e1"), "bounds", (-150, -130, -140, -120)),
        ((*RUN, "--factor", "10", "--bbox", "-123.5,37,-122,38"), "bbox", (-123.5, 37, -122, 38)),
        ((*RUN, "--factor", "10", "--bounds", "-.5,-.5,1e3,1e3"), "bounds", (-0.5, -0.5, 1000, 1000)),
        ((*RUN, "--factor", "-1e1"), "factor", -10),  # what is wrong with it is told by who knows
    ],
)  # fmt: skip
def test_a_number_may_be_negative(argv, option, value):
    assert getattr(make_parser(argv).parse_args(argv), option) == value


MISTYPED = {
    "an option": ((*RUN, "--facter", "10"), "there is no option --facter (did you mean --factor?)"),
    "an option and its value": ((*RUN, "--facter=10"), "there is no option --facter (did you mean --factor?)"),
    "one hyphen": ((*RUN, "-factor", "10"), "there is no option -factor (did you mean --factor?)"),
    "a part of an option": ((*RUN, "--res", "10"), "there is no option --res (did you mean --resolution?)"),
    "nothing like any": ((*RUN, "--zzz", "10"), "there is no option --zzz; see"),
    "before the verb": (("--versoin",), "there is no option --versoin (did you mean --version?)"),
    "a verb": (("rnu", "scene"), "'rnu' is none of run, plan, info"),
    "an action": (("clusters", "lst"), "'lst' is none of list, clean (did you mean list?)"),
    "a choice": ((*RUN, "--factor", "2", "--log-format", "jsn"), "'jsn' is none of plain, json (did you mean json?)"),
    "a method": ((*RUN, "--factor", "2", "--method", "red=meen"), "'meen' for red is unknown (did you mean mean?)"),
    "a policy": ((*RUN, "--factor", "2", "--qa", "majorty"), "'majorty' is unknown (did you mean majority?)"),
}


@pytest.mark.parametrize("what", MISTYPED)
def test_what_is_mistyped_is_named_with_the_nearest(what):
    argv, words = MISTYPED[what]
    result = call(*argv)
    assert result.code == 2 and result.out == "" and len(result.lines) == 1
    assert words in result.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--bands", "SRB4"), "'SRB4' is not in {id} (did you mean SR_B4?)"),
        (("--bands", "nir8"), "'nir8' is not in {id} (did you mean nir08?)"),
        (("--mask", "clouds"), "'clouds' is not a flag of QA_PIXEL (did you mean cloud?)"),
        (("--cluster", "lokal"), "'lokal' is unknown (did you mean local?)"),
    ],
)
def test_what_a_scene_does_not_have_is_named_with_the_nearest(options, words, scene, tmp_path):
    result = call("run", scene, "--to", tmp_path / "out", "--factor", "4", *options)
    assert result.code == 2 and len(result.lines) == 1
    assert words.format(id=scene.name) in result.err


def test_a_file_whose_name_begins_with_a_hyphen_is_taken_after_two(tmp_path):
    assert "cannot open" in call("info", "--", "-scene").err


def test_the_word_all_means_what_is_taken_by_default(scene, tmp_path):
    plans = [
        call("plan", scene, "--to", tmp_path, "--factor", "4", "--json", *some) for some in ((), ("--bands", "all"))
    ]
    assert plans[0].code == 0 and plans[0].out == plans[1].out
    assert (
        "'red,all': all is given alone"
        in call("plan", scene, "--to", tmp_path, "--factor", "4", "--bands", "red,all").err
    )
    assert list(ld.open_scene(scene, bands="all").dataset("all")) == list(ld.open_scene(scene).dataset())
