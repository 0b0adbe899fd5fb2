"""A scene is a mapping of the names of its bands to lazy arrays."""

from __future__ import annotations

from collections.abc import Mapping

import dask
import numpy as np
import pytest
import rasterio
from IPython.core.completer import IPCompleter, provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

import landsat_downsample as ld

NAMES = ["SR_B4", "SR_B5", "QA_PIXEL"]


@pytest.fixture
def scene(tmp_path):
    return ld.open_scene(ld.make_scene(tmp_path, size=(61, 47), bands=NAMES))


def test_each_band_is_there_once_and_answers_to_all_its_names(scene):
    assert isinstance(scene, Mapping)
    assert list(scene) == list(scene.keys()) == NAMES and len(scene) == 3
    assert all(name in scene for name in ("SR_B4", "sr_b4", "red", "Red", "nir08", "nir", "qa_pixel"))
    assert not any(name in scene for name in ("SR_B1", "blue", "", None, 4))
    assert scene["red"].identical(scene["SR_B4"])
    for name, array in scene.items():
        with rasterio.open(scene.bands[name].href) as file:
            np.testing.assert_array_equal(array.values, file.read(1))


def test_a_band_that_is_not_there_is_a_missing_key(scene):
    with pytest.raises(KeyError) as caught:
        scene["rad"]
    assert isinstance(caught.value, ld.BandError) and isinstance(caught.value, ld.UsageError)
    assert str(caught.value).startswith(f"band 'rad' is not in {scene.id} (did you mean red?)")
    assert scene.get("blue") is None


def test_a_mapping_is_still_one_source_and_one_value(scene, tmp_path):
    assert [plan.scene for plan in ld.plan(scene, tmp_path / "out", factor=7)] == [scene]
    assert [plan.scene for plan in ld.plan([scene], tmp_path / "out", factor=7)] == [scene]
    assert scene == ld.open_scene(scene.href)
    assert dask.compute(scene) == (scene,)


def test_ipython_completes_the_names_of_bands(scene):
    shell = InteractiveShell()
    shell.user_ns["scene"] = scene
    completer = IPCompleter(shell, namespace=shell.user_ns)
    completer.use_jedi = False
    with provisionalcompleter():
        found = {one.text for one in completer.completions('scene["', 7)}
    assert {text.rstrip('"]') for text in found} == {*NAMES, "red", "nir08"}
