"""Scenes on order: given twice, in other words, or in each other's way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import landsat_downsample as ld
from landsat_downsample import UsageError
from landsat_downsample.batch.entry import Entry
from landsat_downsample.batch.requests import distinct


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(83, 71), bands=["SR_B4", "QA_PIXEL"])


def kept(*hrefs: object) -> list[str]:
    return [entry.source for entry in distinct(Entry(str(href)) for href in hrefs)]


def test_a_scene_has_many_spellings(scene, tmp_path, monkeypatch):
    monkeypatch.chdir(scene.parent)
    (tmp_path / "link").symlink_to(scene)
    spellings = [
        scene,
        f"{scene}/",
        scene.name,
        f"./{scene.name}/../{scene.name}",
        f"file://{scene}",
        tmp_path / "link",
        scene / f"{scene.name}_MTL.txt",
        scene / f"{scene.name}_MTL.json",
        os.path.join(scene.name, f"{scene.name}_MTL.xml"),
    ]
    assert kept(*spellings) == [str(scene)]
    # Whichever comes first is the one that is opened.
    assert kept(*reversed(spellings)) == [spellings[-1]]
    remote = f"s3://bucket/collection02/{scene.name}"
    assert kept(remote, f"{remote}/", f"{remote}/{scene.name}_MTL.json") == [remote]


def test_names_that_only_look_alike_stay_apart(scene):
    odd = ["/nowhere", "/_MTL.txt", "/a/_MTL.txt", "/b_MTL.txt", "/b/c_MTL.txt", str(scene)]
    assert kept(*odd) == odd


def test_two_copies_of_a_scene_are_in_each_others_way(scene):
    for other in (f"/elsewhere/{scene.name}", f"/elsewhere/{scene.name}.tar", f"/elsewhere/{scene.name}_MTL.txt"):
        with pytest.raises(UsageError, match="would both be written"):
            kept(scene, other)
