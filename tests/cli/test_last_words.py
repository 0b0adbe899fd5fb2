"""What a command leaves where Kubernetes shows why a container ended."""

from __future__ import annotations

import pytest
from command import call

from landsat_downsample.cli import last_words


@pytest.fixture
def message(tmp_path, monkeypatch):
    """The file that Kubernetes gives to a container."""
    path = tmp_path / "termination-log"
    path.write_bytes(b"")
    monkeypatch.setattr(last_words, "TERMINATION_LOG", str(path))
    return path


@pytest.mark.parametrize("words", [("info", "nothing"), ("run", "nothing", "--to", "out", "--factor", "7")])
def test_error_is_the_message(message, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    result = call(*words)
    assert result.code == 1
    assert message.read_text() == result.said[-1].removeprefix("landsat-downsample: ")
    assert "no such file or folder" in message.read_text()


def test_message_has_room_for_some_errors(message):
    last_words.leave_words(f"{number}: {'ä' * 700}\nand more" for number in (1, 1, 2, 3, 4, 5, 6, 7))
    data = message.read_bytes()
    assert len(data) == last_words.ROOM
    assert [line.partition(b":")[0] for line in data.splitlines()] == [b"1", b"2", b"3"]
    last_words.leave_words(range(8))
    assert message.read_text() == "0\n1\n2\n3\n4\nand 3 more"


def test_no_file_is_made_elsewhere(message):
    message.unlink()
    assert call("info", "nothing").code == 1
    assert not message.exists()
