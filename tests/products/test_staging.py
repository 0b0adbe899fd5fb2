from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import re
import signal
import tarfile
import warnings
from pathlib import Path

import pytest
import s3
from command import call, holds, peak_mib, spawn, wait_until
from conftest_s3 import apply, figures, proxied, s3_env, seaweed  # noqa: F401 - fixtures
from fault_proxy import FaultProxy, FileServer
from staging_cases import BANDS, PATIENT, QUICK, check_catalogue, files, own_files, served, small, to_s3, visible
from tiffs import cog, pixels, tiff

import landsat_downsample as ld
from landsat_downsample.errors import ReadError, UsageError, WriteError
from landsat_downsample.products.staging import archive, file_names
from landsat_downsample.products.staging.file_names import LONGEST
from landsat_downsample.products.staging.stage_in import stage_in


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return small(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def web(scene):
    """The scene's files, a single file and archives on a web server, behind a fault proxy."""
    stored = served(scene)
    stored["/B4.TIF"] = cog()
    stored["/scene.tar"] = packed(scene)
    stored["/scene.tar.gz"] = gzip.compress(stored["/scene.tar"], 1)
    stored["/login.tar"] = b"<!DOCTYPE html><html>Sign in</html>" * 40
    with FileServer(stored) as server, FaultProxy(server.endpoint) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    apply(monkeypatch, QUICK)


def packed(scene: Path, folder: str = "", *, md5: bool = False, spoil: str = "") -> bytes:
    """A tar of a scene, as EarthExplorer delivers one."""
    stored = {name: data for name, data in files(scene).items() if not name.endswith("stac.json")}
    if md5:
        lines = [f"{hashlib.md5(data).hexdigest()}  {name}" for name, data in stored.items()]
        stored[f"{scene.name}_MD5.txt"] = "\n".join(lines).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in stored.items():
            broken = data[:-100] + bytes(100) if spoil and name.endswith(spoil) else data
            info = tarfile.TarInfo(folder + name)
            info.size = len(broken)
            tar.addfile(info, io.BytesIO(broken))
    return out.getvalue()


def check(path: str, scene: Path, names: set[str] | None = None) -> dict[str, bytes]:
    """All of a staged scene is there, byte for byte, and both ways to open it work."""
    folder = Path(path).parent
    assert folder.name == scene.name
    found, source = files(folder), files(scene)
    extra = set(found) - set(source) - own_files(folder)
    assert extra <= {f"{scene.name}_MD5.txt"}
    for name in set(found) & set(source):
        assert found[name] == source[name]
    assert names is None or names <= set(found)
    check_catalogue(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole, by_folder = ld.open_scene(path), ld.open_scene(folder)
    assert (whole.id, whole.grid, list(whole.bands)) == (by_folder.id, by_folder.grid, list(by_folder.bands))
    assert all(Path(band.href).parent == folder for band in whole.bands.values())
    assert not [name for name in os.listdir(folder.parent) if name.startswith(".")]
    return found


# From every form ------------------------------------------------------------------------------


def test_a_local_folder_comes_whole(scene, tmp_path):
    found = check(stage_in(scene, tmp_path), scene)
    assert set(found) == set(files(scene)) | own_files(scene)


@pytest.mark.parametrize(
    ("sensor", "level", "start"), [("etm", 2, "LE07"), ("tm", 2, "LT05"), ("mss", 1, "LM05"), ("mss123", 1, "LM01")]
)
def test_older_sensors_keep_their_names(sensor, level, start, tmp_path):
    scene = small(tmp_path / "s", sensor=sensor, level=level, bands=None, size=(64, 60))
    assert scene.name.startswith(start)
    check(stage_in(scene, tmp_path / "in"), scene, set(files(scene)))


def test_an_mtl_on_a_web_server_without_listings(scene, web, tmp_path):
    web.plan()
    href = f"{web.endpoint}/scene/{scene.name}_MTL.json?sig=SECRET&v=1"
    found = check(stage_in(href, tmp_path), scene, {f"{scene.name}_{band}.TIF" for band in BANDS})
    assert b"SECRET" not in b"".join(found.values())
    assert web.endpoint.encode() in found[f"{scene.name}.stac.json"]


def test_an_item_on_a_web_server(scene, web, tmp_path):
    web.plan()
    check(stage_in(f"{web.endpoint}/scene/{scene.name}_SR_stac.json", tmp_path), scene)


def test_a_prefix_of_a_store_in_few_requests(scene, proxied, seaweed, tmp_path, figures):  # noqa: F811
    href = to_s3(seaweed, scene, "in")
    proxied.plan()
    check(stage_in(href, tmp_path), scene, set(files(scene)))
    size = sum(map(len, files(scene).values()))
    figures.lines.append(f"stage-in from S3: {size} bytes in {len(proxied.seen)} requests, {proxied.down} bytes came")
    proxied.plan()
    check(stage_in(href, tmp_path), scene)
    figures.lines.append(f"stage-in again, nothing changed: {len(proxied.seen)} requests, {proxied.down} bytes came")


def test_bands_that_are_asked_for_and_qa_pixel(scene, tmp_path):
    path = stage_in(scene, tmp_path, bands="red")
    found = check(path, scene)
    assert {name for name in found if name.endswith("TIF")} == {
        f"{scene.name}_SR_B4.TIF",
        f"{scene.name}_QA_PIXEL.TIF",
    }
    with pytest.raises(UsageError, match="band 'B99' is not in"):
        stage_in(scene, tmp_path / "b", bands="B99")


@pytest.mark.parametrize("name", ["scene.tar", "scene.tar.gz"])
def test_a_remote_tar_is_fetched_and_unpacked(scene, web, tmp_path, name):
    web.plan()
    found = check(stage_in(f"{web.endpoint}/{name}?token=SECRET", tmp_path), scene)
    assert b"SECRET" not in b"".join(found.values())
    assert stage_in(f"{web.endpoint}/{name}?token=OTHER", tmp_path)


def test_a_tar_on_a_store(scene, s3_env, tmp_path):  # noqa: F811
    s3_env.client().put_object(Bucket=s3.BUCKET, Key="tars/x.tar", Body=packed(scene, f"{scene.name}/", md5=True))
    found = check(stage_in(f"s3://{s3.BUCKET}/tars/x.tar", tmp_path), scene)
    assert f"{scene.name}_MD5.txt" in found


@pytest.mark.parametrize("name", ["B4.TIF", "a b;$(touch x)&'.TIF", "$(reboot).TIF", "-rf.tif"])
def test_a_single_file_under_a_sane_name(name, tmp_path):
    with FileServer({f"/d/{name}": cog()}) as server:
        path = stage_in(f"{server.endpoint}/d/{name}", tmp_path)
    (raster,) = Path(path).parent.glob("*.[tT][iI][fF]")
    assert raster.read_bytes() == cog()
    assert set(raster.name) <= set("abcdefghijklmnopqrstuvwxyz_-.") | set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    assert raster.name[0] not in ".-"
    check_catalogue(path)
    assert ld.open_scene(path).grid.shape == ld.open_scene(Path(path).parent).grid.shape == (700, 600)


def test_names():
    long = "é" * 300 + ".TIF"
    assert len(file_names.plain_name(long).encode()) <= LONGEST and file_names.plain_name(long).endswith(".TIF")
    for text in ("..", "../../etc/passwd", ".bashrc", "a\0b", "", "/", "con\n", "~", "*"):
        name = file_names.plain_name(text)
        assert name and "/" not in name and "\0" not in name and not name.startswith((".", "-"))
    assert file_names.distinct("a.TIF", ["a.TIF", "A-2.tif"]) == "a-3.TIF"


# What was staged and is run -------------------------------------------------------------------


def test_the_whole_way_from_store_to_store(scene, s3_env, tmp_path):  # noqa: F811
    href = to_s3(s3_env, scene, f"way-{tmp_path.name}")
    staged = call("stage-in", href, "--to", tmp_path / "in")
    assert staged.code == 0 and staged.err == ""
    path = staged.out.strip()
    run = call("run", path, "--to", tmp_path / "out", "--factor", 10, "-q")
    assert run.code == 0, run.err
    assert call("run", scene, "--to", tmp_path / "direct", "--factor", 10, "-q").code == 0
    rasters = {p.name: p.read_bytes() for p in (tmp_path / "direct").rglob("*.TIF")}
    assert rasters == {p.name: p.read_bytes() for p in (tmp_path / "out").rglob("*.TIF")}
    out = call("stage-out", tmp_path / "out", "--to", f"s3://{s3.BUCKET}/way-{tmp_path.name}/products")
    assert out.code == 0, out.err
    published = ld.open_scene(out.out.strip())
    assert published.id == scene.name and set(published.bands) == set(BANDS)
    assert call("clean", f"s3://{s3.BUCKET}/way-{tmp_path.name}/products", "--older-than", 0).out == ""


# What is there already ------------------------------------------------------------------------


def test_again_is_no_work(scene, tmp_path):
    path = stage_in(scene, tmp_path)
    before = {name: os.stat(Path(path).parent / name) for name in os.listdir(Path(path).parent)}
    assert stage_in(scene, tmp_path) == path
    assert {name: os.stat(Path(path).parent / name).st_ino for name in before} == {
        name: stat.st_ino for name, stat in before.items()
    }


def other(scene: Path, folder: Path, change) -> Path:
    """A copy of a scene in which something differs."""
    copy = folder / scene.name
    copy.mkdir(parents=True)
    for name, data in files(scene).items():
        (copy / name).write_bytes(data)
    change(copy)
    return copy


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("kind", ["raster", "text", "bands", "foreign", "file", "damaged", "missing"])
def test_other_content_is_refused_and_stays(scene, tmp_path, kind):
    final = tmp_path / scene.name
    source, words = scene, "other files"
    if kind == "raster":
        source, words = other(scene, tmp_path / "o", lambda f: flip(f / f"{f.name}_SR_B5.TIF")), "another .*SR_B5"
    elif kind == "text":
        source, words = other(scene, tmp_path / "o", lambda f: flip(f / f"{f.name}_ANG.txt")), "another .*ANG"
    if kind in ("raster", "text", "damaged", "missing"):
        stage_in(scene, tmp_path)
    elif kind == "bands":
        stage_in(scene, tmp_path, bands="red")
        words = r"without .*SR_B5\.TIF"
    elif kind == "foreign":
        final.mkdir()
        (final / "thesis.txt").write_text("mine")
        words = "nothing that was staged"
    else:
        final.write_text("mine")
        words = "nothing that was staged"
    if kind == "damaged":
        flip(final / f"{final.name}_SR_B4.TIF")
        words = "SR_B4.TIF' does not have the sha256"
    if kind == "missing":
        (final / f"{final.name}_SR_B4.TIF").unlink()
        words = "SR_B4.TIF' is missing"
    before = final.read_bytes() if kind == "file" else files(final)
    with pytest.raises(WriteError, match=f"(?s){words}.*--overwrite"):
        stage_in(source, tmp_path)
    assert (final.read_bytes() if kind == "file" else files(final)) == before
    check(stage_in(source, tmp_path, overwrite=True), source)


def test_the_same_bytes_from_elsewhere_are_the_same(scene, web, tmp_path):
    path = stage_in(scene, tmp_path, bands="red")
    before = files(Path(path).parent)
    for name in list(before):  # what only the folder has is not served by an MTL's href
        if name.endswith("_stac.json"):
            (Path(path).parent / name).unlink()
    web.plan()
    with pytest.raises(WriteError, match="missing"):
        stage_in(f"{web.endpoint}/scene/{scene.name}_MTL.json", tmp_path, bands="red")
    mirror = stage_in(f"{web.endpoint}/scene/{scene.name}_MTL.txt", tmp_path / "m", bands="red")
    with FileServer(served(scene, "/elsewhere")) as server:
        assert stage_in(f"{server.endpoint}/elsewhere/{scene.name}_MTL.txt", tmp_path / "m", bands="red") == mirror


def test_a_scene_may_be_staged_onto_itself(scene, tmp_path):
    path = stage_in(scene, tmp_path)
    before = files(Path(path).parent)
    assert stage_in(path, tmp_path) == path
    assert files(Path(path).parent) == before
    with pytest.raises(UsageError, match="into itself"):
        stage_in(scene, scene.parent)


# Faults ---------------------------------------------------------------------------------------


def test_no_fault_of_the_predecessor_passes(scene, web, tmp_path, monkeypatch):
    cases = [
        ("login", f"{web.endpoint}/B4.TIF", "it is a web page"),
        ("login", f"{web.endpoint}/scene/{scene.name}_MTL.json", "web page|not JSON|MTL"),
        (None, f"{web.endpoint}/login.tar", "it is a web page.*not a tar"),
        (None, f"{web.endpoint}/absent.TIF", "404: there is no such object"),
        (None, f"{web.endpoint}/absent.tar", "404: there is no such object"),
        ("cut", f"{web.endpoint}/B4.TIF", "gave up|cut|no length"),
        ("cut", f"{web.endpoint}/scene.tar", "gave up|cut|no length"),
        ("stall", f"{web.endpoint}/scene.tar", "gave up"),
        ("silence", f"{web.endpoint}/B4.TIF", "gave up"),
        ("forbidden", f"{web.endpoint}/B4.TIF", "403: access denied"),
        (None, "htp://host/B4.TIF", "htp:// is not known"),
        (None, "file://other/B4.TIF", "names a host"),
        (None, "", "href is empty"),
        (None, str(tmp_path / "none"), "no such file or folder"),
    ]
    for fault, href, words in cases:
        web.plan(*[fault] * 500)
        monkeypatch.setenv("LANDSAT_DOWNSAMPLE_BUDGET", "1" if fault in ("cut", "stall", "silence") else "1000")
        secret = "?sig=SECRET&X-Amz-Signature=SECRET" if href.startswith("http") else ""
        result = call("stage-in", href.replace("://127", "://me:SECRET@127") + secret, "--to", tmp_path / "in")
        assert result.code in (1, 2, 75), href
        assert result.out == "" and len(result.lines) == 1, (href, result.err)
        assert re.search(words, result.err), (href, result.err)
        assert "SECRET" not in result.err
        assert web.faults or not fault, "it gave up, though more were to come"
        assert not (tmp_path / "in").exists() or os.listdir(tmp_path / "in") == []


@pytest.mark.parametrize("fault", ["slowdown", "error", "reset", "headers", "midbody", "short", "cut", "flip", "stall"])
def test_one_fault_at_each_place_is_retried(scene, web, tmp_path, fault):
    for place in (2, 5, 12):
        web.random.seed(place)
        web.plan(*[None] * place, fault)
        path = stage_in(f"{web.endpoint}/scene/{scene.name}_MTL.json", tmp_path / str(place))
        check(path, scene, {f"{scene.name}_{band}.TIF" for band in BANDS})


@pytest.mark.parametrize("fault", ["midbody", "short", "flip", "stall", "slowdown"])
def test_faults_of_a_store_are_retried(scene, proxied, seaweed, tmp_path, fault):  # noqa: F811
    href = to_s3(seaweed, scene, "faults")
    for place in (4, 15):
        proxied.plan(*[None] * place, fault)
        check(stage_in(href, tmp_path / str(place)), scene, set(files(scene)))


def test_a_changed_object_is_refused(scene, tmp_path):
    """A band is replaced between the reading of its header and its copying."""
    stored = served(scene)
    name = f"/scene/{scene.name}_SR_B5.TIF"
    with FileServer(stored) as server:
        handle = server._handle

        async def swap(request):
            if request.path == name and "Range" not in request.headers:
                server.files[name] = stored[name][:-1] + b"x"
            return await handle(request)

        server._runner.server.request_handler = swap
        with pytest.raises(ReadError, match="was changed"):
            stage_in(f"{server.endpoint}/scene/{scene.name}_MTL.json", tmp_path)
    assert os.listdir(tmp_path) == []


def test_requester_pays_is_said_for_every_request(scene, proxied, seaweed, tmp_path):  # noqa: F811
    href = to_s3(seaweed, scene, "pays")
    proxied.plan()
    stage_in(href, tmp_path, requester_pays=True)
    assert proxied.seen and all(seen.headers.get("x-amz-request-payer") == "requester" for seen in proxied.seen)


def test_secrets_of_an_item_are_taken_out(scene, web, tmp_path):
    item = json.loads((scene / f"{scene.name}_SR_stac.json").read_text())
    for asset in item["assets"].values():
        name = asset["href"].rpartition("/")[2]
        asset["href"] = f"{web.endpoint}/scene/{name}?sv=1&sig=SECRET"
        asset.pop("alternate", None)
    (tmp_path / "item.json").write_text(json.dumps(item))
    web.plan()
    path = stage_in(tmp_path / "item.json", tmp_path / "in")
    found = files(Path(path).parent)
    assert b"SECRET" not in b"".join(found.values())
    assert f"{web.endpoint}/scene/".encode() in found["item.json"]
    check_catalogue(path)


def test_a_folder_that_cannot_be_written(scene, tmp_path):
    (tmp_path / "file").write_text("")
    for dest in (tmp_path / "file", "/proc/none"):
        with pytest.raises(WriteError, match="cannot write"):
            stage_in(scene, dest)
    for dest in ("s3://bucket/x", "https://host/x?sig=SECRET"):
        with pytest.raises(UsageError, match="give a local folder") as caught:
            stage_in(scene, dest)
        assert "SECRET" not in str(caught.value)


# Archives -------------------------------------------------------------------------------------


def evil(kind: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo({"up": "../up.TIF", "root": "/abs.TIF", "deep": "a/b/c.TIF"}.get(kind, "x.TIF"))
        info.size = 3
        kinds = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "fifo": tarfile.FIFOTYPE}
        if kind in kinds:
            info.type, info.linkname, info.size = kinds[kind], "/etc/passwd", 0
        tar.addfile(info, io.BytesIO(b"abc"))
        if kind == "twice":
            info.name = "a/x.TIF"
            tar.addfile(info, io.BytesIO(b"abc"))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["up", "root", "deep", "link", "hard", "device", "fifo", "twice"])
@pytest.mark.parametrize("end", [".tar", ".tar.gz"])
def test_hostile_archives_are_refused(kind, end, tmp_path):
    data = evil(kind) if end == ".tar" else gzip.compress(evil(kind))
    with FileServer({f"/x{end}": data}) as server, pytest.raises(ReadError) as caught:
        stage_in(f"{server.endpoint}/x{end}", tmp_path / "in")
    assert ".partial-" not in str(caught.value)
    assert os.listdir(tmp_path / "in") == [] and os.listdir(tmp_path) == ["in"]


def test_an_archive_is_held_against_its_md5(scene, tmp_path):
    (tmp_path / "good.tar").write_bytes(packed(scene, md5=True))
    check(stage_in(tmp_path / "good.tar", tmp_path / "in"), scene)
    for spoil, error in ((f"{BANDS[0]}.TIF", ReadError), ("ANG.txt", ReadError)):
        (tmp_path / "bad.tar").write_bytes(packed(scene, md5=True, spoil=spoil))
        with pytest.raises(error, match=f"(?s){spoil.split('.')[0]}.*(md5|MD5)"):
            stage_in(tmp_path / "bad.tar", tmp_path / "out")
        assert visible(tmp_path / "out") == []


def test_cut_archives_are_refused(scene, tmp_path):
    data = packed(scene)
    (tmp_path / "cut.tar").write_bytes(data[: len(data) // 2])
    (tmp_path / "cut.tar.gz").write_bytes(gzip.compress(data)[:-5000])
    (tmp_path / "text.tar").write_bytes(b"hello" * 1000)
    for name in ("cut.tar", "cut.tar.gz", "text.tar"):
        with pytest.raises(ReadError, match=r"cut|damaged"):
            stage_in(tmp_path / name, tmp_path / "in")
    assert not (tmp_path / "in").exists() or os.listdir(tmp_path / "in") == []


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "WHOLE_LIMIT", 1 << 20)
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(bytes(4 << 20)))
    with pytest.raises(ReadError, match="unpacks to more than"):
        stage_in(tmp_path / "bomb.tar.gz", tmp_path / "in")
    assert os.listdir(tmp_path / "in") == []


# Interruption and size ------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_at_any_moment_and_repeated(scene, proxied, seaweed, tmp_path, figures):  # noqa: F811
    href = to_s3(seaweed, scene, "kill")
    expected = check(stage_in(href, tmp_path / "calm"), scene)
    env = os.environ | PATIENT | {"TMPDIR": str(tmp_path)}
    proxied.plan()
    whole = spawn("stage-in", href, "--to", tmp_path / "alone", env=env)
    whole.communicate()
    assert whole.returncode == 0
    requests, left = len(proxied.seen), 0
    # Requests that are answered before it is killed: among them all but the last two, which are for bands.
    for moment in [*random.Random(7).sample(range(1, requests - 2), 6), requests - 2, requests - 1]:
        dest = tmp_path / str(moment)
        proxied.plan(*[None] * moment, *["silence"] * 50)
        process = spawn("stage-in", href, "--to", dest, env=env)
        wait_until(lambda: proxied.silent, process)
        process.kill()
        process.communicate()
        proxied.plan()
        assert visible(dest) in ([], [scene.name])
        left += len([name for name in holds(dest) if name.startswith(".")])
        again = call("stage-in", href, "--to", dest)
        assert again.code == 0, again.err
        assert files(Path(again.out.strip()).parent) == expected
        assert call("clean", dest, "--yes", "--older-than", 0).code == 0
        assert os.listdir(dest) == [scene.name]
        assert call("clean", dest, "--older-than", 0).out == ""
    figures.lines.append(f"stage-in killed at 8 moments: {left} partial folders left, all cleaned; bytes identical")
    assert left > 0


def test_an_interrupted_one_leaves_nothing(scene, proxied, seaweed, tmp_path, monkeypatch):  # noqa: F811
    href = to_s3(seaweed, scene, "int")
    proxied.plan(*[None] * 12, *["stall"] * 50)
    monkeypatch.setenv("LANDSAT_DOWNSAMPLE_TIMEOUT", "1")  # it waits for one silence, not for the budget
    process = spawn("stage-in", href, "--to", tmp_path / "in")
    wait_until(lambda: len(proxied.seen) >= 16, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == 130 and len(err.splitlines()) == 1
    assert not (tmp_path / "in").exists() or os.listdir(tmp_path / "in") == []


@pytest.mark.slow
def test_memory_does_not_grow_with_the_files(tmp_path, figures):  # noqa: F811
    array = pixels(400, 500).repeat(20, 1).repeat(12, 2)
    data = tiff(array, blockysize=64)
    stored = {f"/{name}.TIF": data for name in "ab"}
    with FileServer(stored) as server:
        code, peak = peak_mib("stage-in", f"{server.endpoint}/a.TIF", "--to", tmp_path)
        assert code == 0
    assert (tmp_path / "a" / "a.TIF").read_bytes() == data
    figures.lines.append(f"stage-in of a file of {len(data) >> 20} MiB: peak memory {peak:.0f} MiB")
    assert peak < 180
