from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import time
from pathlib import Path

import pytest
import s3
from command import call, command
from conftest_s3 import proxied, s3_env, seaweed  # noqa: F401 - fixtures

from landsat_downsample.errors import UsageError
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.products.staging.clean import clean
from landsat_downsample.storage.probe import NAME as PROBE_NAME
from landsat_downsample.storage.probe import put_probe
from landsat_downsample.storage.publication import Publication

NAME = "LC08_downsampled"
HOUR = 3600


@pytest.fixture(params=["local", "s3", "memory"])
def dest(request, tmp_path):
    """A destination with a finished product, one that a crash left, and files of others."""
    place = {"local": str(tmp_path / "out"), "memory": f"memory://{tmp_path.name}/out"}.get(request.param)
    if place is None:
        request.getfixturevalue("s3_env")
        place = f"s3://{s3.BUCKET}/{tmp_path.name}"
    done, crashed = Publication(place, NAME), Publication(place, "LE07_downsampled")
    done.put("B4.TIF", b"1234")
    done.commit(f"{NAME}.stac.json", b"{}")
    crashed.put("B4.TIF", b"123")
    crashed.put("B5.TIF", b"45")
    return place


def everything(dest: str) -> set[str]:
    if Location(dest).is_local:
        return {str(path.relative_to(dest)) for path in Path(dest).rglob("*") if path.is_file()}
    from landsat_downsample.storage import transport

    entries = transport.listing(Location(dest), deep=True, policy=Policy(), seconds=10)
    return {entry["name"].partition(dest.partition("://")[2])[2] for entry in entries}


def test_leftovers_are_listed_and_deleted_only_on_demand(dest):
    before = everything(dest)
    (found,) = clean(dest, older_than=0)
    assert (found.state, found.leftover.files, found.leftover.size) == ("leftover", 2, 5)
    assert "LE07_downsampled" in found.leftover.href
    assert everything(dest) == before
    (removed,) = clean(dest, delete=True, older_than=0)
    assert removed.state == "removed"
    assert clean(dest, delete=True, older_than=0) == ()
    assert {name for name in before if "LE07" not in name} == everything(dest)


def test_what_is_written_to_right_now_is_active_and_stays(dest):
    before = everything(dest)
    (found,) = clean(dest, delete=True)
    assert found.state == "active" and found.age < 60
    assert everything(dest) == before


def test_an_old_one_is_no_longer_active(tmp_path):
    Publication(str(tmp_path), NAME).put("B4.TIF", b"1")
    (hidden,) = tmp_path.iterdir()
    old = time.time() - 2 * HOUR
    for path in (hidden / "B4.TIF", hidden):
        os.utime(path, (old, old))
    (found,) = clean(tmp_path)
    assert found.state == "leftover" and 2 * HOUR <= found.age < 2 * HOUR + 60
    os.utime(hidden / "B4.TIF")  # somebody writes again
    assert clean(tmp_path, delete=True)[0].state == "active"
    os.utime(hidden / "B4.TIF", (old, old))
    assert clean(tmp_path, delete=True)[0].state == "removed"
    assert os.listdir(tmp_path) == []


def test_files_of_others_are_neither_listed_nor_touched(tmp_path, s3_env):  # noqa: F811
    for name in (".cache", ".LC08.partial-short", "x_downsampled", ".git"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("mine")
    assert clean(tmp_path, delete=True, older_than=0) == ()
    client = s3_env.client()
    for key in ("theirs_downsampled/a.TIF", "notes.txt", "deep/er/b_downsampled/c"):
        client.put_object(Bucket=s3.BUCKET, Key=f"{tmp_path.name}/{key}", Body=b"mine")
    dest = f"s3://{s3.BUCKET}/{tmp_path.name}"
    assert clean(dest, delete=True, older_than=0) == ()
    mixed = Publication(dest, "theirs_downsampled")
    mixed.put("ours.TIF", b"1")
    assert clean(dest, delete=True, older_than=0) == ()  # not ours alone: left to its owner
    assert len(everything(dest)) == 4


def test_the_only_copy_of_a_product_is_kept(tmp_path):
    """A crash between the two renames of a replacement leaves the old product under its hidden name only."""
    Publication(str(tmp_path), NAME).commit(f"{NAME}.stac.json", b"{}")
    hidden = tmp_path / f".{NAME}.replaced-{'0' * 32}"
    (tmp_path / NAME).rename(hidden)
    (found,) = clean(tmp_path, delete=True, older_than=0)
    assert found.state == "kept" and hidden.exists()
    Publication(str(tmp_path), NAME).commit(f"{NAME}.stac.json", b'{"new": 1}')
    assert clean(tmp_path, delete=True, older_than=0)[0].state == "removed"
    assert os.listdir(tmp_path) == [NAME]


def test_destinations_that_cannot_be_cleaned(tmp_path):
    for dest in ("https://host/x?sig=SECRET", "tar://a::/b.tar"):
        result = call("clean", dest)
        assert result.code == 2 and len(result.lines) == 1 and "SECRET" not in result.err
    with pytest.raises(UsageError, match="at least 0"):
        clean(tmp_path, older_than=float("nan"))
    for text in ("-1", "nan", "inf", "soon"):
        assert call("clean", tmp_path, "--older-than", text).code == 2
    assert call("clean", tmp_path / "none").code == 0


@pytest.mark.parametrize("dest", ["local", "s3"], indirect=True)  # fsspec's memory is not kept from call to call
def test_the_verb_prints_json_lines(dest):
    result = call("clean", dest)
    assert (result.code, result.err) == (0, "")
    (record,) = map(json.loads, result.out.splitlines())
    assert record["state"] == "active" and record["files"] == 2 and record["bytes"] == 5
    assert json.loads(call("clean", dest, "--yes", "--older-than", 0).out)["state"] == "removed"
    assert call("clean", dest, "--older-than", 0).out == ""


def test_on_a_terminal_there_is_a_table(tmp_path):
    Publication(str(tmp_path), NAME).put("B4.TIF", b"1")
    parent, child = pty.openpty()
    done = subprocess.run(command("clean", tmp_path), stdout=child, stderr=subprocess.PIPE, check=False)
    os.close(child)
    shown = re.sub("\x1b\\[[0-9;]*m", "", os.read(parent, 65536).decode())
    os.close(parent)
    assert done.returncode == 0 and done.stderr == b""
    assert shown.split()[:6] == ["state", "kind", "files", "size", "age", "href"] and "active" in shown


def test_what_a_store_was_tried_by_is_cleaned_once_it_is_old(tmp_path, s3_env):  # noqa: F811
    """A run that was killed as it began left it."""
    dest = Location(f"s3://{s3.BUCKET}/{tmp_path.name}")
    put_probe(dest / f"{PROBE_NAME}{'0' * 32}", dest, Policy(), 10, create=False)
    (found,) = clean(dest.href, delete=True)
    assert (found.leftover.kind, found.state) == ("probe", "active") and found.age < HOUR
    (found,) = clean(dest.href, delete=True, older_than=0)
    assert (found.leftover.kind, found.state, found.leftover.files) == ("probe", "removed", 1)
    assert clean(dest.href, older_than=0) == ()
