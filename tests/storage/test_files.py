from __future__ import annotations

import hashlib
import io
import os
import tarfile

import numpy as np
import pytest
from tiffs import cog, pixels, read, tiff

from landsat_downsample.errors import ReadError
from landsat_downsample.model.location import Location
from landsat_downsample.storage import files as store


def test_local_files_are_used_in_place_once_they_are_whole(tmp_path):
    path = tmp_path / "B4.TIF"
    path.write_bytes(cog())
    with store.fetch(store.FetchRequest(Location(str(path)), size=len(cog()))) as given:
        assert given.path == str(path)
        np.testing.assert_array_equal(read(given.gdal_path), pixels(700, 600))
    with store.header(store.FetchRequest(Location(f"file://{path}"))) as given:
        assert given.path == str(path)
    path.write_bytes(cog()[:-1])
    for opened in (
        store.fetch(store.FetchRequest(Location(str(path)))),
        store.header(store.FetchRequest(Location(str(path)))),
    ):
        with pytest.raises(ReadError, match=r"B4\.TIF.*cut"), opened:
            pass


def test_local_refusals_name_the_file_and_the_reason(tmp_path):
    path = tmp_path / "B4.TIF"
    with pytest.raises(ReadError, match="no such file"), store.fetch(store.FetchRequest(Location(str(path)))):
        pass
    with pytest.raises(ReadError, match="it is a folder"):
        store.read_bytes(str(tmp_path))
    path.write_bytes(cog())
    with (
        pytest.raises(ReadError, match="were expected; plan again"),
        store.fetch(store.FetchRequest(Location(str(path)), size=5)),
    ):
        pass
    with (
        pytest.raises(ReadError, match="sha256 checksum"),
        store.fetch(store.FetchRequest(Location(str(path)), checksum="1220" + "0" * 64)),
    ):
        pass
    with store.fetch(store.FetchRequest(Location(str(path)), checksum="1220" + hashlib.sha256(cog()).hexdigest())):
        pass
    with pytest.raises(ReadError, match="more than the 10 allowed"):
        store.read_bytes(str(path), limit=10)
    with pytest.raises(ReadError, match="cannot list"):
        store.list_names(str(tmp_path / "nothing"))


def test_listing_gives_files_only(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a.TIF").write_bytes(b"1")
    assert store.list_names(str(tmp_path)) == ["a.TIF"]
    assert store.exists(str(tmp_path))
    assert not store.exists(str(tmp_path / "c"))


# --- tar ----------------------------------------------------------------------------------


def pack(path, members: dict[str, bytes | str], mode: str = "w") -> str:
    """Make an archive; a text value makes a symbolic link to it, a name with "/" at its end a folder."""
    with tarfile.open(path, mode) as tar:
        for name, value in members.items():
            info = tarfile.TarInfo(name)
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            elif isinstance(value, str):
                info.type, info.linkname = tarfile.SYMTYPE, value
                tar.addfile(info)
            else:
                info.size = len(value)
                tar.addfile(info, io.BytesIO(value))
    return str(path)


@pytest.mark.parametrize("prefix", ["", "./", "LC08/"])
def test_members_of_a_tar_are_read_in_place(tmp_path, prefix):
    files = {f"{prefix}MTL.txt": b"GROUP = X", f"{prefix}B4.TIF": cog()}
    archive = pack(tmp_path / "s.tar", ({"LC08/": b""} if prefix == "LC08/" else {}) | files)
    assert store.list_names(archive) == ["B4.TIF", "MTL.txt"]
    assert store.read_bytes(Location(archive) / "MTL.txt") == b"GROUP = X"
    assert store.exists(Location(archive) / "B4.TIF")
    assert not store.exists(Location(archive) / "B5.TIF")
    with store.fetch(store.FetchRequest(Location(archive) / "B4.TIF")) as file:
        assert file.gdal_path.startswith("/vsisubfile/")
        np.testing.assert_array_equal(read(file.gdal_path), pixels(700, 600))


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"/etc/B4.TIF": b"1"}, "'/etc/B4.TIF' points outside"),
        ({"a/../../B4.TIF": b"1"}, r"'a/\.\./\.\./B4.TIF' points outside"),
        ({"B4.TIF": "/etc/passwd"}, "'B4.TIF' is a link"),
        ({"a/b/B4.TIF": b"1"}, "more than one folder down"),
        ({"a/B4.TIF": b"1", "B4.TIF": b"2"}, "holds 'B4.TIF' twice"),
    ],
)
def test_archives_that_escape_are_refused(tmp_path, members, words):
    archive = pack(tmp_path / "s.tar", members)
    for call in (store.list_names, lambda href: store.read_bytes(Location(href) / "B4.TIF")):
        with pytest.raises(ReadError, match=words):
            call(archive)


def test_devices_and_hard_links_are_refused(tmp_path):
    for kind in (tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.LNKTYPE):
        path = tmp_path / f"{kind[0]}.tar"
        with tarfile.open(path, "w") as tar:
            info = tarfile.TarInfo("x.TIF")
            info.type, info.linkname = kind, "y"
            tar.addfile(info)
        with pytest.raises(ReadError, match=r"'x\.TIF' is a link, a device"):
            store.list_names(str(path))


def test_compressed_cut_and_remote_archives_are_refused_with_a_remedy(tmp_path):
    with pytest.raises(ReadError, match=r"compressed.*unpack it"):
        store.list_names(pack(tmp_path / "s.tar.gz", {"B4.TIF": cog()}, "w:gz"))
    whole = pack(tmp_path / "s.tar", {"B4.TIF": cog()})
    cut = tmp_path / "cut.tar"
    cut.write_bytes((tmp_path / "s.tar").read_bytes()[:9000])
    with pytest.raises(ReadError, match=r"damaged|was cut"):
        store.list_names(str(cut))
    with pytest.raises(ReadError, match="stage-in"):
        store.list_names("https://host/s.tar?sig=abc")
    with pytest.raises(ReadError, match=r"has no member .B5\.TIF."):
        store.read_bytes(Location(whole) / "B5.TIF")
    (tmp_path / "text.tar").write_bytes(b"hello" * 1000)
    with pytest.raises(ReadError, match="damaged or not a tar"):
        store.list_names(str(tmp_path / "text.tar"))


# --- memory -------------------------------------------------------------------------------


def test_other_fsspec_stores_work_the_same():
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.pipe_file("/scene/B4.TIF", cog())
    assert store.list_names("memory://scene") == ["B4.TIF"]
    assert store.exists("memory://scene/B4.TIF")
    assert store.exists("memory://scene")
    assert not store.exists("memory://other")
    with store.fetch(store.FetchRequest(Location("memory://scene/B4.TIF"))) as file:
        np.testing.assert_array_equal(read(file.gdal_path), pixels(700, 600))
        assert os.path.getsize(file.path) == len(cog())
    assert not os.path.exists(file.path)
    with store.header(store.FetchRequest(Location("memory://scene/B4.TIF"))) as file:
        assert os.path.getsize(file.path) == len(cog())
    with pytest.raises(ReadError, match="no such object"):
        store.read_bytes("memory://scene/B5.TIF")
    with pytest.raises(ReadError, match="cannot list"):
        store.list_names("memory://nothing")
    with pytest.raises(ReadError, match="nix:// is not known"):
        store.read_bytes("nix://a/b")


def test_spilled_files_go_away_with_errors_too(tmp_path, monkeypatch):
    import tempfile

    import fsspec

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fsspec.filesystem("memory").pipe_file("/bad/B4.TIF", cog()[:5000])
    with pytest.raises(ReadError), store.fetch(store.FetchRequest(Location("memory://bad/B4.TIF"))):
        pass
    fsspec.filesystem("memory").pipe_file("/bad/ok.TIF", tiff(pixels(9, 9)))
    with pytest.raises(ZeroDivisionError), store.fetch(store.FetchRequest(Location("memory://bad/ok.TIF"))):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []
