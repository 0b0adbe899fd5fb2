"""Names from items and files, and secrets of hrefs, on their way to what people and programs read."""

from __future__ import annotations

import json
import os
import socket
import tarfile

import pytest
from command import call
from hypothesis import example, given
from hypothesis import strategies as st
from staging_cases import small

import landsat_downsample as ld
from landsat_downsample.batch.entry import Entry
from landsat_downsample.batch.scene_lists import read_entries
from landsat_downsample.cli.arguments import say
from landsat_downsample.cli.doctor.finding import OK, Finding, cleaned
from landsat_downsample.display.handlers import in_words, shell
from landsat_downsample.display.tables import console, table
from landsat_downsample.errors import ReadError
from landsat_downsample.execution.outcomes import Outcome
from landsat_downsample.execution.run import Progress
from landsat_downsample.formats.scene_files import File, Listing
from landsat_downsample.model.location import Location, redact
from landsat_downsample.model.safe_text import plain, trace
from landsat_downsample.storage.verified_copy import Whole

#: A forged line, a terminal's escape, a mark that turns the direction of writing, and letters that stay.
EVIL = "Größe 日本\nlandsat-downsample: all is well\x1b[2J\u202egnp.TIF\u2066\x9b1m\r"


def is_safe(text: str) -> bool:
    """One line of what can be seen."""
    return text.isprintable()


secret = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\t "), min_size=1, max_size=20).map(
    lambda text: f"Zq{text}Zq"
)


@given(scheme=st.sampled_from(["http", "https", "HTTPS", "ftp", "webhdfs"]), user=secret, word=secret)
@example(scheme="https", user="Zq", word="Zq/?#@:;&Zq")
def test_no_password_passes(scheme, user, word):
    for href in (
        f"{scheme}://{user}:{word}@host/a/B4.TIF",
        f"{scheme}://{user}@host/B4.TIF",
        f"{scheme}://x:{word}@host",
    ):
        assert "Zq" not in redact(href)
        assert "Zq" not in redact(f"tar://m::{href}")


@given(word=secret, sign=st.sampled_from(["?sig=", ";sig=", "?a=1&sig=", "&sig=", "#", "%3Fsig=", "%3bsig="]))
def test_no_signature_passes(word, sign):
    for place in ("https://host/a/B4.TIF", "s3://bucket/a/B4.TIF", "https://me:pw@host/a/B4.TIF"):
        shown = redact(place + sign + word)
        assert "Zq" not in shown and "pw" not in shown


@given(word=st.text(st.characters(codec="utf-8", exclude_characters="'\"\n\r\t @<> \\"), min_size=1, max_size=20))
@example(word="://")
@example(word=":%ab://-")
def test_no_secret_of_a_url_without_a_scheme_passes(word):
    word = f"Zq{''.join(word.split())}Zq"
    for href in (
        f"me:{word}@host/B4.TIF",
        f"host/B4.TIF?sig={word}",
        f"host/B4.TIF;sig={word}",
        f"/cwd/me:{word}@host/x",
    ):
        assert "Zq" not in plain(f"cannot open {href!r}: no such file")


def test_what_is_no_secret_stays():
    for href in ("https://host:8080/a/B4.TIF", "s3://bucket/a@b/B4.TIF", "/data/a@b;c/B4.TIF", "memory://x/B4.TIF"):
        assert redact(href) == href
        assert plain(f"cannot read {href!r}: gone") == f"cannot read {href!r}: gone"
    assert redact("s3://AKIA:se/cret@bucket/key") == "s3://***"


def test_a_secret_on_the_command_line_is_not_reported(tmp_path):
    for href in (
        "https://me:Zq/Zq@127.0.0.1:9/B4.TIF",
        "me:Zq/Zq@host/B4.TIF",
        "host/B4.TIF?sig=Zq",
        "https://127.0.0.1:9/a;sig=Zq",
    ):
        for verb in (["info", href], ["-v", "info", href][1:], ["stage-in", href, "--to", tmp_path]):
            os.environ["LANDSAT_DOWNSAMPLE_BUDGET"] = "0.1"
            try:
                result = call(*verb)
            finally:
                del os.environ["LANDSAT_DOWNSAMPLE_BUDGET"]
            assert result.code in (1, 2, 75) and "Zq" not in result.out + result.err, href


def test_no_repr_shows_a_secret(tmp_path):
    href = "https://me:Zq@host/B4.TIF?sig=Zq"
    scene = ld.open_scene(small(tmp_path))
    band = scene.bands["SR_B4"]
    signed = type(band)(**{name: getattr(band, name) for name in band.__dataclass_fields__} | {"href": href})
    at = Location(href)
    listing = Listing("x", at, files={"B4": File(at)}, metadata={"ANG.txt": at}, item_href=href)
    for thing in (
        Outcome("x", "done", href=href),
        Outcome("x", "failed", error=ReadError(f"cannot read {href}")),
        Progress(href, outcome=Outcome(href, "done")),
        listing,
        Entry(href, base=href),
        Whole(at),
        Entry({"assets": {"a": {"href": href}}}),
    ):
        assert "Zq" not in repr(thing) and "host/B4.TIF" in repr(thing)
    hidden = "https://me:Zq@host/out?sig=Zq"
    for thing in (signed, [signed], ld.plan(scene, hidden, factor=7), ld.plan(scene, hidden, factor=7)[0].targets):
        assert "Zq" not in repr(thing) and "B4" in repr(thing)


# Lines ---------------------------------------------------------------------------------------


@given(st.text())
@example(EVIL)
def test_a_text_is_shown_on_one_line(text):
    assert is_safe(plain(text)) and plain(plain(text)) == plain(text)


def test_letters_of_any_language_stay():
    assert plain(EVIL).startswith("Größe 日本 landsat-downsample: all is well\\x1b[2J\\u202egnp.TIF")


def test_every_way_out_is_safe(capsys):
    with shell(in_words):
        say(EVIL)
    out, rows = console(), table("name")
    rows.add_row(EVIL)
    out.print(rows)
    out.print(EVIL, soft_wrap=True)
    try:
        raise ReadError(EVIL) from ValueError(EVIL)
    except ReadError as error:
        reported = trace(error)
    captured = capsys.readouterr()
    for text in (captured.out, captured.err, reported, str(cleaned(Finding(OK, "source", EVIL), ()))):
        assert "Größe 日本" in text
        assert all(is_safe(line) for line in text.splitlines())
        assert not any(line.startswith("landsat-downsample: all") for line in text.splitlines())


@pytest.mark.parametrize("style", ["plain", "json"])
def test_a_hostile_item_forges_no_line(tmp_path, style):
    item = {"type": "Feature", "stac_version": "1.0.0", "id": EVIL, "properties": {}, "links": [],
            "assets": {"a": {"href": f"./{EVIL.replace('/', '')}_MTL.txt"}, "b": {"href": "./x.TIF"}}}  # fmt: skip
    path = tmp_path / "item.json"
    path.write_text(json.dumps(item))
    for verb in (
        ["run", path, "--to", tmp_path, "--factor", "10", "--log-format", style],
        ["run", path, "-v", "--to", tmp_path, "--factor", "10"],
        ["info", path],
        ["plan", path, "--to", tmp_path, "--factor", "2"],
    ):
        result = call(*verb)
        assert result.code
        assert all(is_safe(line) for line in (result.out + result.err).split("\n")), result.err


# Pipes, sockets, devices ---------------------------------------------------------------------


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "LC08_L2SP_008059_20191201_20200825_02_T1_SR_B4.TIF"
    os.mkfifo(path)
    return path


def test_a_pipe_is_refused_wherever_a_file_is_read(fifo, tmp_path):
    """None of these waits for somebody to write into it."""
    names = {end: fifo.with_name(f"x{end}") for end in (".tar", ".tar.gz", "_MTL.txt", ".json", ".dat", "_stac.json")}
    for path in names.values():
        os.mkfifo(path)
    for path in (fifo, *names.values()):
        for work in (ld.open_scene, lambda path: ld.stage_in(path, tmp_path / "in")):
            with pytest.raises(ReadError, match="it is a pipe, not a regular file"):
                work(path)
    with pytest.raises(ReadError, match="it is a pipe, not a regular file"):
        read_entries([f"@{fifo}"])


def test_a_socket_and_a_device_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s.tar")
        with pytest.raises(ReadError, match="it is a socket, not a regular file"):
            ld.open_scene("s.tar")
    with pytest.raises(ReadError, match="it is a device, not a regular file"):
        ld.open_scene("/dev/zero")


def test_a_pipe_in_a_scene_folder_does_not_hold_it_up(tmp_path):
    scene = small(tmp_path)
    for name in (f"{scene.name}_ANG.txt", f"{scene.name}_SR_B5.TIF"):
        (scene / name).unlink(missing_ok=True)
        os.mkfifo(scene / name)
    with pytest.warns(UserWarning, match="not found: SR_B5"):
        assert set(ld.open_scene(scene).bands) == {"SR_B4", "QA_PIXEL"}
    (scene / f"{scene.name}_MTL.json").unlink(missing_ok=True)
    os.mkfifo(scene / f"{scene.name}_MTL.json")
    with pytest.raises(ReadError, match="it is a pipe"):
        ld.open_scene(scene / f"{scene.name}_MTL.json")


def test_a_pipe_in_a_tar_is_refused(tmp_path):
    path = tmp_path / "scene.tar"
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("x_SR_B4.TIF")
        member.type = tarfile.FIFOTYPE
        tar.addfile(member)
    with pytest.raises(ReadError, match="only files are read"):
        ld.open_scene(path)
