from __future__ import annotations

import errno
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
from concurrent import futures
from pathlib import Path

import pytest
import s3
from conftest_s3 import proxied, s3_env, seaweed  # noqa: F401 - fixtures

from landsat_downsample.errors import ReadError, UsageError, WriteError
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import files as store
from landsat_downsample.storage import leftovers
from landsat_downsample.storage.publication import Publication, read_marker
from landsat_downsample.storage.publication_place import Stored

QUICK = Policy(budget=1000, base=0.01, cap=0.05)
HASTY = Policy(budget=1000, timeout=1, base=0.01, cap=0.05)
NAME = "LC08_downsampled"
MARKER = f"{NAME}.stac.json"
FILES = {f"LC08_B{i}.TIF": bytes([i]) * 5000 for i in range(1, 4)}


@pytest.fixture(params=["local", "s3", "memory"])
def dest(request, tmp_path):
    """A fresh destination of each kind."""
    if request.param == "local":
        return str(tmp_path / "out")
    if request.param == "memory":
        return f"memory://{tmp_path.name}/out"
    request.getfixturevalue("s3_env")
    return f"s3://{s3.BUCKET}/{tmp_path.name}"


def publish(
    dest: str, files: dict[str, bytes] = FILES, *, overwrite: bool = False, policy: Policy = QUICK
) -> Publication:
    publication = Publication(dest, NAME, overwrite, policy=policy)
    expected = {name: publication.put(name, data) for name, data in files.items()}
    publication.commit(
        MARKER, json.dumps(sorted(files)).replace("[", '{"a": [').replace("]", "]}").encode(), expected=expected
    )
    return publication


def product(dest: str) -> dict[str, bytes]:
    href = Location(dest) / NAME
    return {name: store.read_bytes(href / name) for name in store.list_names(href) if name != MARKER}


def test_a_product_is_there_whole_once_committed(dest):
    publication = Publication(dest, NAME, policy=QUICK)
    for name, data in FILES.items():
        publication.put(name, data)
    assert read_marker(dest, NAME, MARKER) is None
    assert len(leftovers.leftovers(dest)) == 1
    publication.commit(MARKER, b'{"id": 1}')
    assert read_marker(dest, NAME, MARKER) == {"id": 1}
    assert product(dest) == FILES
    assert leftovers.leftovers(dest) == ()


def test_the_same_again_is_no_error_and_another_is(dest):
    publish(dest)
    publish(dest)
    with pytest.raises(WriteError, match="other content"):
        publish(dest, {"LC08_B1.TIF": b"other"})
    assert product(dest) == FILES


def test_overwrite_replaces_all_of_it(dest):
    publish(dest)
    other = {"LC08_B2.TIF": b"new", "LC08_B9.TIF": b"nine"}
    publish(dest, other, overwrite=True)
    found = product(dest)
    if dest.startswith("memory"):  # no metadata there: what is older cannot be told from what is ours
        found = {name: data for name, data in found.items() if name in other}
    assert found == other
    assert leftovers.leftovers(dest) == ()


def test_abort_leaves_nothing(dest):
    publication = Publication(dest, NAME, policy=QUICK)
    publication.put("LC08_B1.TIF", b"1")
    publication.abort()
    if not dest.startswith("memory"):
        assert leftovers.leftovers(dest) == ()
    assert read_marker(dest, NAME, MARKER) is None


def test_a_missing_or_changed_file_stops_the_commit(dest):
    publication = Publication(dest, NAME, policy=QUICK)
    stored = publication.put("LC08_B1.TIF", b"1")
    for expected in (
        {"LC08_B2.TIF": stored},
        {"LC08_B1.TIF": Stored("0" * 64)},
        {"LC08_B1.TIF": Stored("0" * 64, "1")},
    ):
        with pytest.raises(WriteError, match="did not arrive as it was sent"):
            publication.commit(MARKER, b"{}", expected=expected)
    assert read_marker(dest, NAME, MARKER) is None


@pytest.mark.parametrize("dest", ["s3"], indirect=True)
def test_what_was_stored_is_checked_by_one_listing_unless_it_was_written_over(dest, seaweed, proxied):  # noqa: F811
    publication = Publication(dest, NAME, policy=QUICK)
    expected = {name: publication.put(name, data) for name, data in FILES.items()}
    proxied.plan()
    publication.commit(MARKER, b"{}", expected=expected)
    assert [("list-type" in seen.path, seen.method) for seen in proxied.seen] == [(True, "GET"), (False, "PUT")]

    publication = Publication(dest, f"other-{NAME}", policy=QUICK)
    expected = {name: publication.put(name, data) for name, data in FILES.items()}
    bucket, _, key = dest.removeprefix("s3://").partition("/")
    seaweed.client().put_object(Bucket=bucket, Key=f"{key}/other-{NAME}/{next(iter(FILES))}", Body=b"of somebody else")
    with pytest.raises(WriteError, match="did not arrive as it was sent"):
        publication.commit(f"other-{MARKER}", b"{}", expected=expected)

    name, data = next(iter(FILES.items()))
    publication = Publication(dest, f"moved-{NAME}", policy=QUICK)
    expected = {name: publication.put(name, data)}
    seaweed.client().put_object(Bucket=bucket, Key=f"{key}/moved-{NAME}/deeper/{name}", Body=data)
    seaweed.client().delete_object(Bucket=bucket, Key=f"{key}/moved-{NAME}/{name}")
    with pytest.raises(WriteError, match="did not arrive as it was sent"):
        publication.commit(f"moved-{MARKER}", b"{}", expected=expected)


def test_leftovers_are_listed_and_removed(dest):
    publish(dest)
    crashed = Publication(dest, "LE07_downsampled", policy=QUICK)
    crashed.put("LE07_B1.TIF", b"123")
    (left,) = leftovers.leftovers(dest)
    assert (left.files, left.size) == (1, 3)
    assert "LE07_downsampled" in left.href
    leftovers.remove_leftover(left)
    assert leftovers.leftovers(dest) == ()
    assert product(dest) == FILES
    assert leftovers.leftovers(Location(dest) / "nothing") == ()


def put_one(publication: Publication, name: str) -> str:
    return publication.put(name, FILES[name])


@pytest.mark.parametrize("dest", ["local", "s3"], indirect=True)  # fsspec's memory is of one process
def test_workers_in_threads_and_processes_put_into_one_product(dest):
    publication = pickle.loads(pickle.dumps(Publication(dest, NAME, policy=QUICK)))
    for kind in (futures.ThreadPoolExecutor, futures.ProcessPoolExecutor):
        with kind(3) as pool:
            digests = list(pool.map(put_one, [publication] * 6, [*FILES, *FILES]))
    publication.commit(MARKER, b"{}", expected=dict(zip([*FILES, *FILES], digests, strict=True)))
    assert product(dest) == FILES
    assert leftovers.leftovers(dest) == ()


@pytest.mark.parametrize("dest", ["local", "s3"], indirect=True)  # fsspec's memory keeps no metadata
def test_two_runners_do_not_corrupt_each_other(dest):
    """The same product twice at once: one aborts, the other's is whole."""
    one, two = (Publication(dest, NAME, policy=QUICK) for _ in range(2))
    for name, data in FILES.items():
        one.put(name, data)
        two.put(name, data)
    one.abort()
    two.commit(MARKER, b"{}", expected={name: two.put(name, data) for name, data in FILES.items()})
    assert product(dest) == FILES


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a\\b", "a\nb"])
def test_names_that_are_no_plain_names(name, tmp_path):
    with pytest.raises(UsageError, match="not a plain name"):
        Publication(str(tmp_path), name)
    with pytest.raises(UsageError, match="not a plain name"):
        Publication(str(tmp_path), "a").put(name, b"")


def test_destinations_that_cannot_be_written():
    for dest in ("https://host/a?sig=SECRET", "tar://a::/b.tar"):
        with pytest.raises(UsageError, match="cannot publish") as caught:
            Publication(dest, "a")
        assert "SECRET" not in str(caught.value)


# --- local --------------------------------------------------------------------------------


def test_nothing_has_its_final_name_before_the_commit(tmp_path):
    publication = Publication(str(tmp_path), NAME)
    publication.put("LC08_B1.TIF", b"1")
    assert [name for name in os.listdir(tmp_path) if not name.startswith(".")] == []


def test_an_empty_folder_of_the_name_is_taken_and_a_foreign_one_is_not(tmp_path):
    (tmp_path / NAME).mkdir()
    publish(str(tmp_path))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / NAME).write_bytes(b"a file")
    with pytest.raises(WriteError, match="other content"):
        publish(str(tmp_path / "b"))
    publish(str(tmp_path / "b"), overwrite=True)
    assert product(str(tmp_path / "b")) == FILES


@pytest.mark.parametrize("change", ["last byte", "length", "a folder"])
def test_one_byte_makes_another_product(tmp_path, change):
    files = {"LC08_B1.TIF": bytes(3 << 20), "LC08_B2.TIF": b""}
    publish(str(tmp_path), files)
    publish(str(tmp_path), files)
    last = bytes((3 << 20) - 1)
    there = tmp_path / NAME / "LC08_B2.TIF"
    if change == "a folder":
        there.unlink()
        there.mkdir()
    with pytest.raises(WriteError, match="other content"):
        publish(
            str(tmp_path),
            {**files, "LC08_B1.TIF": {"last byte": last + b"1", "length": last}.get(change, last + b"\0")},
        )
    assert (tmp_path / NAME / "LC08_B1.TIF").read_bytes() == files["LC08_B1.TIF"]


def test_a_full_disk_is_one_line(tmp_path):
    code = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from landsat_downsample.storage import files as store
store.Publication({str(tmp_path)!r}, "a").put("b", bytes(5000))
"""
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "WriteError: cannot write 'b' to" in done.stderr.splitlines()[-1]
    (staging,) = os.listdir(tmp_path)
    assert os.listdir(tmp_path / staging) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_no_space_left_names_the_remedy(tmp_path):
    from landsat_downsample.storage.publication_folder import Folder

    with pytest.raises(OSError, match="No space") as caught, open("/dev/full", "wb", buffering=0) as full:
        full.write(b"1")
    error = Folder(Publication(str(tmp_path), "a"))._refused("b", caught.value)
    assert caught.value.errno == errno.ENOSPC
    assert "no space left; free some" in str(error) and error.for_all


def test_a_destination_that_is_a_file_or_forbidden(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError, match="cannot write 'b'"):
        Publication(str(tmp_path / "file"), "a").put("b", b"1")
    with pytest.raises(WriteError, match="cannot write 'b' to '/proc/nothing'"):
        Publication("/proc/nothing", "a").put("b", b"1")


def test_a_marker_that_is_no_json_is_an_error(tmp_path):
    (tmp_path / NAME).mkdir()
    for text in ("{", "[]"):
        (tmp_path / NAME / MARKER).write_text(text)
        with pytest.raises(ReadError, match="JSON"):
            read_marker(str(tmp_path), NAME, MARKER)


def test_a_killed_writer_leaves_only_leftovers(tmp_path):
    code = f"""
import os, signal
from landsat_downsample.storage import files as store
publication = store.Publication({str(tmp_path)!r}, {NAME!r})
publication.put("LC08_B1.TIF", b"1")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert [left.kind for left in leftovers.leftovers(str(tmp_path))] == ["partial"]
    publish(str(tmp_path))
    assert product(str(tmp_path)) == FILES
    for left in leftovers.leftovers(str(tmp_path)):
        leftovers.remove_leftover(left)
    assert sorted(os.listdir(tmp_path)) == [NAME]
    assert Path(tmp_path, NAME, MARKER).exists()


# --- S3 -----------------------------------------------------------------------------------


def test_what_a_killed_writer_left_is_not_published(tmp_path):
    """A worker died between the bytes of a file and its name; another did the work again."""
    publication = Publication(str(tmp_path), NAME, policy=QUICK)
    dying = (
        "import os, pickle, signal, sys\n"
        "os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)\n"
        "pickle.loads(sys.stdin.buffer.read()).put('LC08_B1.TIF', b'half')"
    )
    done = subprocess.run([sys.executable, "-c", dying], input=pickle.dumps(publication), check=False)
    assert done.returncode == -signal.SIGKILL
    [staging] = tmp_path.iterdir()
    assert len(os.listdir(staging)) == 1
    expected = {name: publication.put(name, data) for name, data in FILES.items()}
    publication.commit(MARKER, b"{}", expected=expected)
    assert sorted(os.listdir(tmp_path / NAME)) == sorted([*FILES, MARKER])


def test_objects_are_put_once_with_their_checksum_and_the_marker_last(proxied, seaweed, tmp_path):  # noqa: F811
    dest = f"s3://{s3.BUCKET}/{tmp_path.name}-order"
    proxied.plan()
    publish(dest)
    puts = [seen for seen in proxied.seen if seen.method == "PUT"]
    assert [seen.path.rpartition("/")[2] for seen in puts] == [*FILES, MARKER]
    assert all(seen.headers.get("If-None-Match") == "*" for seen in puts)
    head = seaweed.client().head_object(Bucket=s3.BUCKET, Key=f"{tmp_path.name}-order/{NAME}/LC08_B1.TIF")
    assert len(head["Metadata"]["sha256"]) == 64


@pytest.mark.parametrize("fault", ["lost", "reset", "headers", "slowdown", "error", "flip", "silence"])
def test_a_write_survives_a_fault_and_is_done_once(proxied, seaweed, tmp_path, fault):  # noqa: F811
    dest = f"s3://{s3.BUCKET}/{tmp_path.name}"
    proxied.plan(fault, None, None, fault)
    publish(dest, policy=HASTY)
    assert product(dest) == FILES


def test_a_store_without_conditional_writes_is_looked_at_first(seaweed, monkeypatch, tmp_path):  # noqa: F811
    from conftest_s3 import apply
    from fault_proxy import FaultProxy

    class Old(FaultProxy):
        async def _before(self, request, fault):
            from aiohttp import web

            if "If-None-Match" in request.headers:
                return web.Response(status=501)
            return await super()._before(request, fault)

    dest = f"s3://{s3.BUCKET}/{tmp_path.name}"
    with Old(seaweed.endpoint) as proxy:
        apply(monkeypatch, s3.environ(proxy.endpoint))
        publish(dest)
        publish(dest)
        with pytest.raises(WriteError, match="other content"):
            publish(dest, {"LC08_B1.TIF": b"other"})
        assert product(dest) == FILES


@pytest.mark.parametrize("status", [403, 501])
def test_who_may_write_need_not_be_allowed_to_list(seaweed, monkeypatch, tmp_path, status):  # noqa: F811
    from conftest_s3 import apply
    from fault_proxy import FaultProxy

    class Unlisted(FaultProxy):
        async def _before(self, request, fault):
            from aiohttp import web

            return (
                web.Response(status=status) if "list-type" in request.query else await super()._before(request, fault)
            )

    dest = f"s3://{s3.BUCKET}/{tmp_path.name}"
    with Unlisted(seaweed.endpoint) as proxy:
        apply(monkeypatch, s3.environ(proxy.endpoint))
        publish(dest)
        with pytest.raises(WriteError, match="did not arrive as it was sent"):
            Publication(dest, NAME, policy=QUICK).commit(MARKER, b"{}", expected={"LC08_B1.TIF": Stored("0" * 64, "1")})


def test_while_a_product_is_replaced_there_is_none(s3_env, tmp_path):  # noqa: F811
    dest = f"s3://{s3.BUCKET}/{tmp_path.name}"
    publish(dest)
    publication = Publication(dest, NAME, overwrite=True, policy=QUICK)
    publication.put("LC08_B1.TIF", b"new")
    assert read_marker(dest, NAME, MARKER) is None
    assert [left.kind for left in leftovers.leftovers(dest)] == ["unmarked"]
    publication.commit(MARKER, b'{"n": 2}')
    publication.put("LC08_B1.TIF", b"new")  # a worker that comes too late does no harm
    assert read_marker(dest, NAME, MARKER) == {"n": 2}


def test_a_sweep_takes_what_was_killed_and_not_what_is_at_work(tmp_path):
    working = Publication(str(tmp_path), "LC08_downsampled")
    working.put("B4.TIF", b"4")
    code = "import os, sys; from landsat_downsample.storage.publication import Publication\n"
    code += "for name in 'LC08', 'LE07': Publication(sys.argv[1], f'{name}_downsampled').put('B4.TIF', b'4')\n"
    code += "os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    assert len(os.listdir(tmp_path)) == 3
    Publication(str(tmp_path), "LC08_downsampled").sweep()
    left = sorted(name.rpartition("-")[0] for name in os.listdir(tmp_path))
    assert left == [".LC08_downsampled.partial", ".LE07_downsampled.partial"]
    working.commit("LC08_downsampled.stac.json", b"{}")
    assert (tmp_path / "LC08_downsampled" / "B4.TIF").read_bytes() == b"4"


def test_a_sweep_keeps_the_only_copy_of_a_replaced_product(tmp_path):
    old = tmp_path / f".LC08_downsampled.replaced-{'0' * 32}"
    old.mkdir()
    publication = Publication(str(tmp_path), "LC08_downsampled")
    publication.sweep()
    assert old.is_dir()
    publication.commit("LC08_downsampled.stac.json", b"{}")
    publication.sweep()
    assert os.listdir(tmp_path) == ["LC08_downsampled"]
