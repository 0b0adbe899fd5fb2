"""What is not there: a FileNotFoundError for who expects Python's own, a ReadError or SceneError for who knows ours."""

from __future__ import annotations

import errno
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import call
from conftest_s3 import s3_env, seaweed  # noqa: F401 - fixtures
from loopback import serving
from s3 import BUCKET

import landsat_downsample as ld
from landsat_downsample import errors
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import files
from landsat_downsample.storage.fetch_request import FetchRequest
from landsat_downsample.storage.verified_copy import Whole, copy, digest


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(51, 47), bands=["SR_B3", "SR_B4", "QA_PIXEL"])


def missing(family: type, *words: str):
    """What is raised is one of ours and of Python's, and says so in our words."""

    def check(error: FileNotFoundError) -> bool:
        told = pickle.loads(pickle.dumps(error))
        assert (type(told), str(told), told.errno) == (type(error), str(error), errno.ENOENT)
        assert error.errno == errno.ENOENT and error.strerror and error.exit_code == 1
        assert "Errno" not in str(error) and "\n" not in str(error) and all(word in str(error) for word in words)
        return isinstance(error, family)

    return pytest.RaisesExc(FileNotFoundError, check=check)


@pytest.mark.parametrize("name", ["nowhere", "nothing.TIF", "nothing.tar", "nothing_MTL.txt", "nothing.json"])
def test_a_scene_that_is_not_there(name, tmp_path):
    with missing(ld.ReadError, name) as caught:
        ld.open_scene(tmp_path / name)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_folder_without_bands(scene, tmp_path):
    with missing(ld.SceneError, "holds no Landsat scene"):
        ld.open_scene(tmp_path)
    shutil.copy(next(scene.glob("*_MTL.txt")), tmp_path)
    with missing(ld.SceneError, "holds no band"):
        ld.open_scene(tmp_path)


def test_a_band_that_metadata_list(scene, tmp_path):
    copied = Path(shutil.copytree(scene, tmp_path / scene.name))
    (copied / f"{scene.name}_SR_B4.TIF").unlink()
    with missing(ld.SceneError, "SR_B4"):
        ld.open_scene(copied, bands="red")


def test_a_band_of_an_item(scene, tmp_path):
    (outcome,) = ld.run(ld.plan(scene, tmp_path, factor=3))
    item = Path(outcome.href)
    gone = next(item.parent.glob("*_SR_B4.TIF"))
    gone.unlink()
    with missing(ld.ReadError, gone.name) as caught:
        ld.open_scene(item)
    assert caught.value.__cause__ is not None


def test_a_band_that_vanishes_before_it_is_read(scene, tmp_path):
    copied = Path(shutil.copytree(scene, tmp_path / scene.name))
    opened = ld.open_scene(copied)
    plans = ld.plan(opened, tmp_path / "out", factor=3)
    (copied / f"{scene.name}_SR_B4.TIF").unlink()
    with missing(ld.ReadError, "SR_B4"):
        opened["red"].compute()
    with pytest.raises(ld.RunError, match="no such file or folder"):
        ld.run(plans)


def test_a_member_of_an_archive(scene, tmp_path):
    archive = shutil.make_archive(str(tmp_path / scene.name), "tar", scene)
    with missing(ld.ReadError, "has no member"):
        files.read_bytes(Location.in_tar("nothing.TIF", Location(archive)))


def test_what_a_web_server_does_not_have(tmp_path):
    with serving(folder=tmp_path) as address:
        with missing(ld.ReadError, "404", "there is no such object") as caught:
            ld.open_scene(f"{address}/B4.TIF?sig=secret")
        assert "secret" not in repr(caught.value) and caught.value.__cause__ is None
        with missing(ld.ReadError, "404"):
            files.read_bytes(f"{address}/item.json")
        assert not files.exists(Location(f"{address}/B4.TIF"))


@pytest.mark.usefixtures("s3_env")
def test_a_key_that_a_bucket_does_not_have():
    for href in (f"s3://{BUCKET}/nothing/B4.TIF", f"s3://{BUCKET}/nothing/"):
        with missing(ld.ReadError, "there is no such object"):
            ld.open_scene(href)
    with missing(ld.ReadError), files.fetch(FetchRequest(Location(f"s3://{BUCKET}/nothing.TIF"))):
        pass


def test_it_is_asked_for_once(tmp_path):
    """It is no failure that may pass: a budget of minutes is not waited for."""
    with serving(folder=tmp_path) as address, missing(ld.ReadError):
        files.read_bytes(f"{address}/nothing", policy=Policy(budget=600, base=300))


def test_a_copy_blames_the_source_not_its_folder(tmp_path):
    source = Whole(Location(str(tmp_path / "nothing.TIF")))
    with missing(ld.ReadError, "nothing.TIF"):
        copy(source, str(tmp_path), "B4.TIF", Policy())
    with missing(ld.ReadError, "no such file"):
        digest(source.location)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_not_missing(scene, tmp_path):
    path = tmp_path / "B4.TIF"
    path.write_bytes(next(scene.glob("*_SR_B4.TIF")).read_bytes()[:900])
    with pytest.raises(ld.ReadError) as caught:
        ld.open_scene(path)
    assert not isinstance(caught.value, OSError)


def test_the_shell_says_it_as_ever(tmp_path):
    result = call("run", tmp_path / "nowhere", "--to", tmp_path / "out", "--factor", 4)
    assert (result.code, len(result.lines)) == (1, 1)
    assert result.err.rstrip().endswith(f"cannot open '{tmp_path}/nowhere': no such file or folder")


def test_every_error_survives_another_process():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    ours = [kind for kind in kinds if issubclass(kind, errors.LandsatDownsampleError)]
    assert len(ours) >= 11
    for kind in ours:
        error = kind("cannot read 'x': why; what to do")
        error.passing = True
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (kind, str(error))
        assert again.passing or "__reduce__" in vars(kind)  # which is of what no waiting mends


def test_one_that_was_not_caught_is_shown_in_our_words(tmp_path):
    script = f"import landsat_downsample as ld; ld.open_scene({str(tmp_path / 'nowhere')!r})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        f"landsat_downsample.errors.MissingError: cannot open '{tmp_path}/nowhere': no such file or folder"
    )
