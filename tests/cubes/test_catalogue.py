"""A destination's catalogue: what is in it, who reads it, and that it is right after edits, other writers and kills."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urljoin

import fsspec
import jsonschema
import numpy as np
import pystac
import pytest
import rustac
import s3
from conftest_s3 import proxied, s3_env, seaweed  # noqa: F401 - fixtures
from pystac.extensions.datacube import DatacubeExtension
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

import landsat_downsample as ld
from landsat_downsample.cli.main import main
from landsat_downsample.cubes import catalogue, items_table
from landsat_downsample.cubes.catalogued_items import KEPT, KeptItems
from landsat_downsample.cubes.found_products import found_products
from landsat_downsample.cubes.stac_collection import _around
from landsat_downsample.model.location import Location
from landsat_downsample.products.stac import _schema
from landsat_downsample.storage import files, small_objects
from landsat_downsample.storage.lease import Lease

FILES = {"collection.json", "items.parquet", KEPT}


@pytest.fixture(scope="module", name="scenes")
def _scenes(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("dates")
    return ld.make_scenes(folder, dates=4, size=(171, 163), bands=["SR_B4", "SR_B5", "QA_PIXEL"])


@pytest.fixture(scope="module", name="made")
def _made(scenes, tmp_path_factory) -> Path:
    """A destination of four dates, with the catalogue that the run kept."""
    dest = tmp_path_factory.mktemp("made") / "out"
    words = ["run", *map(str, scenes), "--to", str(dest), "--factor", "4", "--stats", "mean,std", "-q"]
    assert main(words) == 0
    return dest


@pytest.fixture(name="dest")
def _dest(made, tmp_path) -> Path:
    """A copy of it: times and all, so that its catalogue is as current."""
    return shutil.copytree(made, tmp_path / "out")


@pytest.fixture(name="reads")
def _reads(monkeypatch) -> list[str]:
    """Names of the items that are read from here on."""
    seen, read = [], files.read_bytes

    def reading(href, **how):
        if Location.of(href).name.endswith(".stac.json"):
            seen.append(Location.of(href).name)
        return read(href, **how)

    monkeypatch.setattr(files, "read_bytes", reading)
    return seen


def items_of(dest: Path) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(dest.glob("*_downsampled/*.stac.json"))}


def many(product: Path, dest: Path, count: int) -> None:
    """Products of further dates, of which there are only the items."""
    (item,) = product.glob("*.stac.json")
    day, text = product.name[17:25], item.read_text()
    iso = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    for number in range(count):
        date = datetime.date(1990, 1, 1) + datetime.timedelta(8 * number)
        name = product.name.replace(day, f"{date:%Y%m%d}")
        (dest / name).mkdir(parents=True)
        made = text.replace(day, f"{date:%Y%m%d}").replace(iso, date.isoformat())
        (dest / name / f"{name}.stac.json").write_text(made)


def check(dest: Path, count: int) -> dict:
    """All readers find the same products, which are those that are there."""
    names = list(items_of(dest))
    collection = json.loads((dest / "collection.json").read_text())
    linked = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    assert linked == [f"./{name}/{name}.stac.json" for name in names]
    asset = collection["assets"]["items"]
    assert (dest / asset["href"]).stat().st_size == asset["file:size"]
    rows = rustac.read_sync(str(dest / "items.parquet"))["features"]
    assert sorted(row["id"] for row in rows) == names and len(names) == count
    return collection


def validated(collection: dict) -> None:
    """Against the core schema (pystac's copy) and, of extensions, what their texts ask for."""
    schemas = get_local_schema_cache()
    registry = Registry().with_resources((uri, Resource.from_contents(one)) for uri, one in schemas.items())
    core = next(one for uri, one in schemas.items() if uri.endswith("/collection.json"))
    assert list(jsonschema.Draft7Validator(core, registry=registry).iter_errors(collection)) == []
    for asset in collection["assets"].values():
        jsonschema.validate(asset, _schema("file") | {"$ref": "#/definitions/fields"})
    for dimension in collection.get("cube:dimensions", {}).values():
        assert dimension["type"] in ("temporal", "spatial") and dimension["extent"][0] <= dimension["extent"][1]


# What is in it ---------------------------------------------------------------------------------


def test_a_run_keeps_a_collection_that_pystac_takes(made):
    collection = check(made, 4)
    validated(collection)
    known = items_of(made)
    read = pystac.Collection.from_file(str(made / "collection.json"))
    assert [item.id for item in read.get_items()] == list(known)
    for item in read.get_items():
        assert all(os.path.exists(asset.get_absolute_href()) for asset in item.assets.values())
    boxes = np.array([item["bbox"] for item in known.values()])
    assert read.extent.spatial.bboxes == [[*boxes[:, :2].min(0), *boxes[:, 2:].max(0)]]
    times = sorted(item["properties"]["datetime"] for item in known.values())
    assert collection["extent"]["temporal"]["interval"] == [[times[0], times[-1]]]
    assert read.summaries.lists["platform"] == ["landsat-8"] and read.summaries.lists["proj:code"] == ["EPSG:32633"]
    assert read.summaries.lists["gsd"] == [120.0] and read.summaries.lists["instruments"] == ["oli", "tirs"]
    clouds = [item["properties"]["eo:cloud_cover"] for item in known.values()]
    assert collection["summaries"]["eo:cloud_cover"] == {"minimum": min(clouds), "maximum": max(clouds)}
    # Products are what they are without a catalogue.
    assert not {"self", "collection", "parent"} & {link["rel"] for one in known.values() for link in one["links"]}
    assert str(made) not in (made / "collection.json").read_text()


def test_its_dimensions_are_those_of_the_products_together(made):
    cube = ld.open_products(made, ["red"])
    dimensions = DatacubeExtension.ext(pystac.Collection.from_file(str(made / "collection.json"))).dimensions
    for axis in ("x", "y"):
        low, high = dimensions[axis].extent
        assert (float(cube[axis].min()) - 60, float(cube[axis].max()) + 60) == (low, high)
        assert dimensions[axis].step == 120 and dimensions[axis].reference_system == 32633
    first, last = (np.datetime64(text.rstrip("Z")) for text in dimensions["time"].extent)
    assert (first, last) == (cube.time.values[0].astype("M8[us]"), cube.time.values[-1].astype("M8[us]"))


def test_item_assets_hold_what_files_have_in_common(made):
    collection, known = json.loads((made / "collection.json").read_text()), items_of(made)
    assert collection["item_assets"].keys() == {key for item in known.values() for key in item["assets"]}
    red = collection["item_assets"]["red"]
    assert red["bands"][0]["name"] == "SR_B4" and red["bands"][0]["raster:scale"] == 2.75e-5
    assert not {"href", "file:size", "file:checksum"} & red.keys() and "statistics" not in str(red)
    assert collection["item_assets"]["qa_pixel"]["classification:bitfields"][0]["name"] == "fill"


def test_assets_of_the_table_are_found_from_where_it_is(made):
    known = items_of(made)
    features = rustac.read_sync(str(made / "items.parquet"))["features"]
    assert {one["id"] for one in features} == known.keys()
    for one in features:
        assert one["collection"] == "out" and one["properties"]["eo:cloud_cover"] >= 0
        for key, asset in one["assets"].items():
            path = urljoin((made / "items.parquet").as_uri(), asset["href"]).removeprefix("file://")
            assert os.path.samefile(path, made / one["id"] / known[one["id"]]["assets"][key]["href"])


@pytest.mark.slow
def test_readers_of_tables(made):
    """DuckDB and pyarrow, which know nothing of STAC, and geopandas."""
    import duckdb
    import geopandas
    import pyarrow.parquet
    import shapely

    known = items_of(made)
    path = made / "items.parquet"
    query = f"""select id, "eo:cloud_cover", assets.red.href from '{path}' where datetime >= '2024-01-01' order by id"""
    wanted = [
        (name, item["properties"]["eo:cloud_cover"], f"./{name}/{item['assets']['red']['href'][2:]}")
        for name, item in known.items()
        if item["properties"]["datetime"] >= "2024"
    ]
    assert duckdb.sql(query).fetchall() == wanted and wanted
    metadata = pyarrow.parquet.read_metadata(path).metadata
    geo = json.loads(metadata[b"geo"])
    assert geo["version"].startswith("1.") and geo["columns"]["geometry"]["encoding"] == "WKB"
    assert json.loads(metadata[b"stac-geoparquet"])["version"].startswith("1.")
    frame = geopandas.read_parquet(path).set_index("id")
    for name, item in known.items():
        assert shapely.geometry.shape(item["geometry"]).equals_exact(frame.geometry[name], 1e-9)


def test_rustac_walks_the_collection(made):
    async def walk() -> list[str]:
        collection = await rustac.read(str(made / "collection.json"))
        return [item["id"] async for _, _, items in rustac.walk(collection) for item in items]

    assert sorted(asyncio.run(walk())) == list(items_of(made))


def test_it_is_kept_inside_a_running_event_loop(dest):
    (dest / KEPT).unlink()

    async def cell() -> int:
        return ld.catalogue(dest).products

    assert asyncio.run(cell()) == 4


def test_tables_of_mixed_products(dest, scenes, tmp_path):
    """Other units, other grids, no geometry, an object without fields: one table has them all."""
    ld.run(ld.plan(scenes[1], tmp_path / "scaled", factor=2.5, units="scaled"), workers=1)
    ld.run(ld.plan(scenes[2], tmp_path / "modis", grid="modis:500m", mask="cloud", stats=["mean", "count"]), workers=1)
    for made in (*(tmp_path / "scaled").iterdir(), *(tmp_path / "modis").iterdir()):
        if made.is_dir():
            shutil.rmtree(dest / made.name)
            shutil.copytree(made, dest / made.name)
    edited = next(dest.glob(f"{scenes[3].name}*/*.stac.json"))
    item = json.loads(edited.read_text()) | {"geometry": None}
    del item["bbox"]
    item["properties"]["processing:expression"]["expression"]["methods"] = {}
    edited.write_text(json.dumps(item))
    outcome = ld.catalogue(dest)
    assert len(outcome.changed) == 3 and not outcome.notes and outcome.items
    collection = check(dest, 4)
    validated(collection)
    assert "cube:dimensions" not in collection and len(collection["summaries"]["gsd"]) == 3
    assert repr(found_products(dest)) == repr([*map(found_one, sorted(dest.glob("*_downsampled")))])


def found_one(folder: Path):
    return found_products(folder)[0]


@pytest.mark.parametrize(
    ("spans", "around"),
    [
        ([(10, 12), (11, 15)], (10, 15)),
        ([(170, 175), (-178, -170)], (170, -170)),
        ([(178, -179), (-178, -170)], (178, -170)),
        ([(-10, 5), (20, 30)], (-10, 30)),
        ([(-180, 180)], (-180, 180)),
        ([(-180, -60), (-60, 60), (60, 180)], (-180, 180)),
        ([(-5, 5), (175, -175)], (-5, -175)),
    ],
)
def test_the_box_is_the_smallest_that_holds_all(spans, around):
    assert _around(spans) == around


def test_boxes_hold_all_spans_whatever_they_are():
    draw = random.Random(3)
    for _ in range(300):
        spans = []
        for _ in range(draw.randint(1, 5)):
            west = draw.randint(-180, 179)
            east = west + draw.randint(1, 90)
            spans.append((west, east if east <= 180 else east - 360))
        west, east = _around(spans)
        width = (east - west) % 360 or 360

        def inside(at, west=west, width=width):
            return (at - west) % 360 <= width

        there = {at for w, e in spans for at in range(w, w + (e - w) % 360 + 1)}
        assert all(map(inside, there))
        covered = {at % 360 for at in there}
        longest = max(len(run) for run in "".join(" x"[a % 360 in covered] for a in range(720)).split("x"))
        assert width == 360 - (longest + 1 if longest else min(1, 360 - len(covered))) or longest == 0


# What is read anew -----------------------------------------------------------------------------


def test_only_items_that_are_new_or_changed_are_read(dest, scenes, reads):
    outcome = ld.catalogue(dest)
    assert (outcome.products, outcome.written, reads) == (4, False, [])
    names = sorted(items_of(dest))
    shutil.rmtree(dest / names[0])
    item = dest / names[1] / f"{names[1]}.stac.json"
    item.write_text(item.read_text().replace('"eo:cloud_cover": ', '"eo:cloud_cover": 1'))
    shutil.copytree(dest / names[2], dest / "LC08_L2SP_192028_20250101_20250110_02_T1_downsampled")
    new = dest / "LC08_L2SP_192028_20250101_20250110_02_T1_downsampled"
    old = new / f"{names[2]}.stac.json"
    (new / f"{new.name}.stac.json").write_text(old.read_text().replace(names[2], new.name))
    old.unlink()
    outcome = ld.catalogue(dest)
    assert (outcome.added, outcome.changed, outcome.removed) == ((new.name,), (names[1],), (names[0],))
    assert sorted(reads) == sorted([item.name, f"{new.name}.stac.json"])
    check(dest, 4)
    reads.clear()
    assert not ld.catalogue(dest).written and reads == []


def test_an_item_of_another_time_is_read_again(dest, reads):
    item = next(dest.glob("*/*.stac.json"))
    os.utime(item, ns=(0, item.stat().st_mtime_ns + 1))
    assert ld.catalogue(dest).changed == (item.parent.name,) and reads == [item.name]


@pytest.mark.parametrize("lost", sorted(FILES))
@pytest.mark.parametrize("how", ["gone", "cut"])
def test_what_is_lost_of_it_is_made_anew(dest, lost, how):
    before = (dest / lost).read_bytes()
    (dest / lost).unlink() if how == "gone" else (dest / lost).write_bytes(before[: len(before) // 2])
    assert ld.open_products(dest, ["red"]).sizes["time"] == 4
    assert ld.catalogue(dest).written
    check(dest, 4)
    assert (dest / lost).read_bytes() == before


def test_title_and_licence_of_ones_own_stay(dest, scenes):
    record = json.loads((dest / "collection.json").read_text())
    (dest / "collection.json").write_text(json.dumps(record | {"title": "Mine", "license": "CC0-1.0", "links": []}))
    assert ld.catalogue(dest).written
    made = check(dest, 4)
    assert (made["title"], made["license"], made["id"]) == ("Mine", "CC0-1.0", record["id"])


def test_products_that_are_none_are_left_out_and_named(dest, capsys):
    names = sorted(items_of(dest))
    (dest / names[0] / f"{names[0]}.stac.json").write_text("{")
    (dest / names[1] / f"{names[1]}.stac.json").write_text('{"type": "Feature", "id": 3}')
    (dest / "under_way_downsampled").mkdir()
    assert main(["catalogue", str(dest)]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["products"] == 2
    told = [line for line in err.splitlines() if "left out" in line]
    assert len(told) == 2 and names[0] in told[0] and names[1] in told[1] and "Traceback" not in err


def test_a_catalogue_outlives_its_products(dest):
    for name in items_of(dest):
        shutil.rmtree(dest / name)
    outcome = ld.catalogue(dest)
    assert outcome.products == 0 and len(outcome.removed) == 4 and outcome.items is None
    validated(json.loads((dest / "collection.json").read_text()))
    assert not (dest / "items.parquet").exists() and not ld.catalogue(dest).written


@pytest.mark.parametrize("place", ["", "nowhere", "https://example.com/out"])
def test_places_without_products_are_refused(place, tmp_path, capsys):
    where = place if "://" in place else str(tmp_path / place)
    assert main(["catalogue", where]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and os.listdir(tmp_path) == []


# Without the extra -----------------------------------------------------------------------------


def test_without_the_extra_the_collection_is_kept(dest, scenes, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rustac", None)
    assert ld.catalogue(dest).items  # nothing has changed: the table stays
    shutil.rmtree(dest / sorted(items_of(dest))[0])
    assert main(["catalogue", str(dest)]) == 0
    assert "landsat-downsample[geoparquet]" in capsys.readouterr().err
    collection = json.loads((dest / "collection.json").read_text())
    assert collection["assets"] == {} and not (dest / "items.parquet").exists()  # it would lack what is new
    assert len([link for link in collection["links"] if link["rel"] == "item"]) == 3
    assert not ld.catalogue(dest).written
    words = ["run", *map(str, scenes), "--to", str(dest), "--factor", "4", "--stats", "mean,std"]
    assert main(words) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "catalogue" in line]
    assert len(told) == 1 and " INFO " in told[0] and "landsat-downsample[geoparquet]" in told[0]
    monkeypatch.undo()
    assert items_table.available() and ld.catalogue(dest).written
    check(dest, 4)


# Who else looks at the destination -------------------------------------------------------------


def test_other_verbs_take_none_of_it_for_products(dest, tmp_path, capsys):
    assert main(["verify", str(dest)]) == 0
    assert capsys.readouterr().out == "4 of 4 products are right\n"
    assert ld.clean(dest, older_than=0) == ()
    assert main(["status", str(dest)]) == 0
    assert "4" in capsys.readouterr().out
    with pytest.raises(ld.UsageError, match="4 products"):
        ld.stage_out(dest, tmp_path / "elsewhere")
    one = next(dest.glob("*_downsampled"))
    for other in dest.glob("*_downsampled"):
        if other != one:
            shutil.rmtree(other)
    assert Path(ld.stage_out(dest, tmp_path / "elsewhere")).parent.name == one.name


def test_a_run_whose_destination_takes_no_catalogue_is_done_all_the_same(scenes, tmp_path):
    (tmp_path / "out" / "collection.json").mkdir(parents=True)
    with pytest.warns(UserWarning, match="no catalogue was kept: cannot write"):
        outcomes = ld.run(ld.plan(scenes[:2], tmp_path / "out", factor=4), record=True)
    assert [outcome.status for outcome in outcomes] == ["done", "done"]


# Several writers -------------------------------------------------------------------------------


@pytest.mark.slow
def test_writers_at_once_lose_nothing(made, tmp_path, monkeypatch):
    """Each moves products in and keeps the catalogue; when the last one ends it has all, also where none waits."""
    many(next(made.glob("*_downsampled")), tmp_path / "new", 24)
    for wait in (60.0, 0.0):
        monkeypatch.setattr(catalogue, "WAIT", wait)
        dest = tmp_path / f"out{wait:g}"
        dest.mkdir()
        names = sorted(os.listdir(tmp_path / "new"))
        left = []

        def writer(part, dest=dest, names=names, left=left):
            for name in names[part::6]:
                shutil.copytree(tmp_path / "new" / name, dest / f".{name}")
                os.rename(dest / f".{name}", dest / name)
                left.append(ld.catalogue(dest).left)

        threads = [threading.Thread(target=writer, args=(part,)) for part in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(dest, 24)
        assert len(left) == 24 and (any(left) or wait)
        assert {name for name in os.listdir(dest) if not name.endswith("_downsampled")} == FILES


@pytest.mark.slow
def test_parts_at_once_make_one_catalogue(scenes, tmp_path):
    words = [sys.executable, "-m", "landsat_downsample", "run", *map(str, scenes), "--to", str(tmp_path / "out")]
    parts = [
        subprocess.Popen([*words, "--factor", "4", "--part", f"{part}/2", "-q"], stdout=subprocess.DEVNULL)
        for part in (1, 2)
    ]
    assert [part.wait() for part in parts] == [0, 0]
    check(tmp_path / "out", 4)


def test_it_waits_for_who_is_writing(dest):
    shutil.rmtree(dest / sorted(items_of(dest))[0])
    with Lease(Location(str(dest)) / "collection.json"):
        waiting = threading.Thread(target=ld.catalogue, args=(dest,))
        waiting.start()
        while not (dest / ".collection.json.again").exists():
            time.sleep(0.01)
        assert waiting.is_alive()
    waiting.join()
    check(dest, 3)


#: Makes a catalogue again and again, and ends itself with SIGKILL when it writes its Nth file.
_KEEPER = """
import os, signal, sys
import landsat_downsample as ld
from landsat_downsample.storage import small_objects
left, put = int(sys.argv[2]), small_objects.put
def counted(href, data, **how):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return put(href, data, **how)
small_objects.put = counted
names = sorted(name for name in os.listdir(sys.argv[1]) if name.endswith("_downsampled"))
for number in range(10**6):
    item = os.path.join(sys.argv[1], names[number % len(names)], names[number % len(names)] + ".stac.json")
    os.utime(item, ns=(0, os.stat(item).st_mtime_ns + 1))
    ld.catalogue(sys.argv[1])
"""


@pytest.mark.slow
def test_killed_at_any_file_it_is_old_or_new(dest):
    for moment in range(12):
        keeper = subprocess.run([sys.executable, "-c", _KEEPER, str(dest), str(moment)], check=False)
        assert keeper.returncode == -signal.SIGKILL
        assert len(list(pystac.Collection.from_file(str(dest / "collection.json")).get_items())) == 4
        assert len(rustac.read_sync(str(dest / "items.parquet"))["features"]) == 4
        assert ld.open_products(dest, ["red"]).sizes["time"] == 4
    assert ld.catalogue(dest).products == 4
    check(dest, 4)


# What reads it ---------------------------------------------------------------------------------


def test_products_of_a_catalogue_are_what_their_items_say(dest, reads):
    kept = found_products(dest)
    assert reads == []
    (dest / KEPT).unlink()
    assert repr(found_products(dest)) == repr(kept) and len(reads) == 4
    np.testing.assert_array_equal(
        ld.open_products(dest, ["red"]).red.values, ld.open_products([*dest.glob("*_downsampled")], ["red"]).red.values
    )


def test_what_changed_since_is_read_from_its_item(dest, reads):
    names = sorted(items_of(dest))
    item = dest / names[1] / f"{names[1]}.stac.json"
    record = json.loads(item.read_text())
    record["properties"]["eo:cloud_cover"] = 77.0
    item.write_text(json.dumps(record))
    shutil.rmtree(dest / names[0])
    cube = ld.open_products(dest, ["red"])
    assert cube.sizes["time"] == 3 and 77.0 in cube.cloud_cover.values and reads == [item.name]


@pytest.mark.parametrize("damage", [b"", b"\x1f\x8b", b"[]", b'{"version": 1, "items": {"a": 3}}', b"a bit"])
def test_a_damaged_catalogue_does_not_keep_products_from_opening(dest, damage, reads):
    import gzip

    if damage == b"a bit":  # in the midst of the items
        damage = bytearray((dest / KEPT).read_bytes())
        damage[-100] ^= 4
    (dest / KEPT).write_bytes(gzip.compress(damage) if damage[:1] in (b"[", b"{") else damage)
    assert len(found_products(dest)) == 4 and len(reads) == 4
    assert KeptItems.read(Location(str(dest))).items == {}


# In a store ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_in_a_store(made, proxied, tmp_path):  # noqa: F811
    """Kept, read with few requests, updated by reading one item."""
    import s3fs

    many(next(made.glob("*_downsampled")), tmp_path / "many", 40)
    dest = f"s3://{s3.BUCKET}/{tmp_path.name}/many"
    store = s3fs.S3FileSystem(
        key=s3.RW[0], secret=s3.RW[1], client_kwargs={"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    )
    store.put(str(tmp_path / "many"), dest.removeprefix("s3://"), recursive=True)
    outcome = ld.catalogue(dest)
    assert outcome.products == 40 and len(outcome.added) == 40 and outcome.items == f"{dest}/items.parquet"
    asked = proxied.plan().seen
    kept = found_products(dest)
    assert len(kept) == 40
    assert not [one.path for one in asked if ".stac.json" in one.path and one.method == "GET"], asked
    assert len(asked) <= 4, [(one.method, one.path) for one in asked]
    store.rm(f"{dest}/{KEPT}".removeprefix("s3://"))
    assert repr(found_products(dest)) == repr(kept)
    assert len(ld.catalogue(dest).added) == 40
    name = kept[3].location.name
    store.pipe(
        f"{dest}/{kept[3].location.parent.name}/{name}".removeprefix("s3://"),
        json.dumps(
            json.loads((tmp_path / "many" / name.removesuffix(".stac.json") / name).read_text())
            | {"bbox": [1, 2, 3, 4]}
        ).encode(),
    )
    proxied.plan()
    assert ld.catalogue(dest).changed == (name.removesuffix(".stac.json"),)
    read = [
        one.path for one in proxied.seen if ".stac.json" in one.path and one.method == "GET" and "list" not in one.path
    ]
    assert len(read) <= 2 and all(name in path for path in read)  # its header and its bytes
    again = json.loads(store.cat(f"{dest}/collection.json".removeprefix("s3://")))
    assert again["extent"]["spatial"]["bbox"][0][:2] == [1, 2]


@pytest.mark.slow
def test_writers_at_once_in_a_store(made, s3_env, tmp_path):  # noqa: F811
    many(next(made.glob("*_downsampled")), tmp_path / "new", 9)
    dest = f"s3://{s3.BUCKET}/{tmp_path.name}/shared"
    names = sorted(os.listdir(tmp_path / "new"))

    def writer(part: int) -> None:
        for name in names[part::3]:
            marker = f"{name}.stac.json"
            small_objects.put(f"{dest}/{name}/{marker}", (tmp_path / "new" / name / marker).read_bytes())
        ld.catalogue(dest)

    threads = [threading.Thread(target=writer, args=(part,)) for part in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    collection = json.loads(files.read_bytes(f"{dest}/collection.json"))
    assert len([link for link in collection["links"] if link["rel"] == "item"]) == 9
    kept = KeptItems.read(Location(dest))
    assert sorted(kept.items) == sorted(kept.stamps) == names and not ld.catalogue(dest).written
    assert not files.exists(f"{dest}/.collection.json.lock") and not files.exists(f"{dest}/.collection.json.again")


def test_in_a_store_that_keeps_no_metadata(made):
    """Any fsspec store: the writer's lock is known by its bytes, and given back."""
    memory = fsspec.filesystem("memory")
    for item in made.glob("*_downsampled/*.stac.json"):
        memory.pipe(f"/catalogued/{item.parent.name}/{item.name}", item.read_bytes())
    assert ld.catalogue("memory://catalogued").products == 4
    left = {path.rpartition("/")[2] for path in memory.ls("/catalogued", detail=False)}
    assert left == {path.name for path in made.glob("*_downsampled")} | FILES
    assert not ld.catalogue("memory://catalogued").written
