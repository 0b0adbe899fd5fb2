from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import s3
from command import call, command, spawn
from conftest_s3 import apply, proxied, seaweed  # noqa: F401 - fixtures
from staging_cases import PATIENT

from landsat_downsample.errors import UsageError
from landsat_downsample.storage.credentials import take_credentials

KEYS = "[default]\naws_access_key_id = AKID\naws_secret_access_key = s%(cr)et/+=\n"
FULL = f"{KEYS}aws_session_token = token\nregion = eu-central-1\nendpoint_url = http://127.0.0.1:1\n# a comment\n"


@pytest.fixture
def path(tmp_path):
    (tmp_path / ".aws").mkdir()
    return tmp_path / ".aws" / "credentials"


def test_every_value_goes_into_the_environment_and_the_file_away(path, tmp_path):
    path.write_text(FULL)
    environ = {"AWS_PROFILE": "other", "AWS_ENDPOINT_URL_S3": "http://other", "LANG": "C"}
    take_credentials(path, environ)
    assert environ == {
        "AWS_ACCESS_KEY_ID": "AKID",
        "AWS_SECRET_ACCESS_KEY": "s%(cr)et/+=",
        "AWS_SESSION_TOKEN": "token",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "LANG": "C",
    }
    assert list(tmp_path.iterdir()) == []


def test_what_the_file_does_not_say_stays_but_for_another_identity(path):
    path.write_text(KEYS + "aws_session_token =\n[other]\nrole_arn = arn\n")
    environ = {"AWS_SESSION_TOKEN": "of another key", "AWS_ENDPOINT_URL": "http://ambient", "AWS_DEFAULT_REGION": "r"}
    take_credentials(path, environ)
    assert environ["AWS_ENDPOINT_URL"] == "http://ambient" and environ["AWS_DEFAULT_REGION"] == "r"
    assert environ["AWS_ACCESS_KEY_ID"] == "AKID" and "AWS_SESSION_TOKEN" not in environ


@pytest.mark.parametrize("keys", [True, False])
def test_a_token_of_earthdata_comes_with_keys_or_alone(path, keys):
    path.write_text((KEYS if keys else "[default]\n") + "earthdata_token = eyJ0.e%30.x\n")
    environ = {"AWS_PROFILE": "other", "EARTHDATA_TOKEN": "another"}
    take_credentials(path, environ)
    assert environ["EARTHDATA_TOKEN"] == "eyJ0.e%30.x"
    assert ("AWS_PROFILE" in environ, "AWS_ACCESS_KEY_ID" in environ) == (not keys, keys)


def test_a_folder_with_something_else_stays(path):
    path.write_text(KEYS)
    (path.parent / "config").write_text("mine")
    take_credentials(path, {})
    assert [entry.name for entry in path.parent.iterdir()] == ["config"]


BROKEN = {
    "empty": (b"", "it is blank"),
    "spaces": (b" \n\n", "it is blank"),
    "no section": (b"aws_secret_access_key = HIDDEN\n", "not an INI file"),
    "no sign": (b"[default]\nHIDDEN\n", "not an INI file"),
    "twice": (b"[default]\nHIDDEN = 1\nHIDDEN = 2\n", "not an INI file"),
    "not text": (b"[default]\n\xff\xfeHIDDEN", "not an INI file"),
    "other profile": (b"[HIDDEN]\naws_access_key_id = HIDDEN\n", "lacks aws_access_key_id and aws_secret_access_key"),
    "blank key": (b"[default]\naws_access_key_id = HIDDEN\naws_secret_access_key =\n", "lacks aws_secret_access_key"),
    "a role": (KEYS.encode() + b"role_arn = HIDDEN\n", "may hold aws_access_key_id, "),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_line_that_quotes_nothing_of_it_and_is_gone(case, path, tmp_path):
    content, words = BROKEN[case]
    path.write_bytes(content)
    before = dict(os.environ)
    done = call("stage-out", "-v", tmp_path, "--to", tmp_path / "out", "--credentials-once", path)
    assert done.code == 2 and words in done.lines[-1] and str(path) in done.lines[-1]
    assert "hidden" not in done.err.lower() and "AKID" not in done.err and not path.exists()
    assert dict(os.environ) == before
    with pytest.raises(UsageError):
        take_credentials(path, {})  # it is not there any more
    path.parent.mkdir()
    path.write_bytes(content)
    done = call("stage-in", tmp_path, "--to", tmp_path / "out", "--credentials-once", path)
    assert done.code == 2 and len(done.lines) == 1


def test_without_the_file_nothing_is_done(path, tmp_path):
    done = call("stage-in", "s3://bucket/scene", "--to", tmp_path / "out", "--credentials-once", path)
    assert done.code == 2 and done.lines == [
        f"landsat-downsample: credentials file {path}: it cannot be read and deleted: No such file or directory"
    ]


def test_a_file_that_stays_is_an_error(path):
    """Natively the runner's folder can be one that the step may not write to."""
    path.write_text(KEYS)
    environ = {}
    os.chmod(path.parent, 0o500)
    try:
        if os.geteuid() == 0:  # whom no mode keeps from anything
            path.unlink()
            path.mkdir()
        with pytest.raises(UsageError, match="it cannot be read and deleted"):
            take_credentials(path, environ)
    finally:
        os.chmod(path.parent, 0o700)
    assert environ == {}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")
def test_while_the_command_works_neither_file_nor_process_shows_the_key(proxied, path, tmp_path, monkeypatch):  # noqa: F811 - a fixture
    """And the key opens the store: its answer is waited for."""
    apply(monkeypatch, dict.fromkeys(s3.environ(proxied.endpoint)) | PATIENT)
    path.write_text(
        f"[default]\naws_access_key_id = {s3.RW[0]}\naws_secret_access_key = {s3.RW[1]}\n"
        f"region = us-east-1\nendpoint_url = {proxied.endpoint}\n"
    )
    href = f"s3://{s3.BUCKET}/absent/{tmp_path.name}.tar"
    shown = {"environ": set(), "cmdline": set()}
    proxied.plan("held")
    process = spawn("stage-in", href, "--to", tmp_path / "out", "--credentials-once", path)
    try:
        asked = False
        while not asked:
            asked = proxied.holding  # the last look is one at its work
            assert process.poll() is None, process.communicate()
            for what, contents in shown.items():
                contents.add(Path(f"/proc/{process.pid}/{what}").read_bytes())
        left = list(path.parent.parent.iterdir())
        proxied.let_go()
        out, err = process.communicate()
    finally:
        process.kill()
        process.wait()
    assert path.parent not in left, err
    assert process.returncode == 1 and "there is no such object" in err and out == ""
    assert not [what for what, contents in shown.items() if any(s3.RW[1].encode() in each for each in contents)]
    assert any(command("stage-in")[-1].encode() in each for each in shown["cmdline"])
