"""Products of HLS granules: each band against exact numbers of its own pixels."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from support import exact_cells

import landsat_downsample as ld
from landsat_downsample.formats import stac_source
from landsat_downsample.model.location import Location, container
from landsat_downsample.testing.synthetic.make import make_scene

DATA = Path(os.environ.get("LANDSAT_DATA", ""))
needs_data = pytest.mark.skipif("LANDSAT_DATA" not in os.environ, reason="LANDSAT_DATA is not set")

FACTOR = 7
#: (width, height): of neither is the factor a divisor.
SIZE = 62, 54

NAMES = {
    "hls-l30": "B01 B02 B03 B04 B05 B06 B07 B09 B10 B11 Fmask SZA SAA VZA VAA",
    "hls-s30": "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12 Fmask SZA SAA VZA VAA",
}


@pytest.fixture(scope="module", params=NAMES)
def granule(request, tmp_path_factory):
    """A granule, some of whose pixels are what real ones have and painted ones have not, and its product."""
    folder = make_scene(tmp_path_factory.mktemp("hls"), sensor=request.param, size=SIZE)
    for name, changes in {
        "B04": {(0, 0): -9999, (20, 20): -1792, (20, 21): 17000, (40, 30): -9998, (40, 31): -10000},
        "VAA": {(30, 30): 35999, (30, 31): 1, (31, 30): 40000},
        "Fmask": {(25, 25): 255, (25, 26): 0, (25, 27): 112},
    }.items():
        with rasterio.open(folder / f"{folder.name}.{name}.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
            pixels = raster.read(1)
            for at, value in changes.items():
                pixels[at] = value
            raster.write(pixels, 1)
    target = tmp_path_factory.mktemp("products")
    [outcome] = ld.run(ld.plan(str(folder), str(target), factor=FACTOR, grid="scene"), progress=False)
    assert outcome.status == "done"
    return request.param, folder, target / f"{folder.name}_downsampled"


def test_every_band_holds_the_exact_cells_of_its_pixels(granule):
    product, folder, made = granule
    assert {path.name.split(".")[-2] for path in made.glob("*.tif")} == {*NAMES[product].split(), "QA_FRACTIONS"}
    for name in NAMES[product].split():
        with rasterio.open(folder / f"{folder.name}.{name}.tif") as source:
            pixels = source.read(1)
        with rasterio.open(made / f"{folder.name}.{name}.tif") as raster:
            cells, nodata, scale = raster.read(1), raster.nodata, raster.scales[0]
        thermal = product == "hls-l30" and name in ("B10", "B11")
        if name == "Fmask":
            assert (nodata, scale, cells.dtype) == (255, 1, "uint8")
            wanted = exact_cells.expected(pixels, FACTOR, 255, exact_cells.fmask)
        elif name in ("SAA", "VAA"):
            assert (nodata, scale, cells.dtype) == (40000, 0.01, "uint16")
            wanted = exact_cells.expected(pixels, FACTOR, 40000, exact_cells.direction)
            apart = np.abs((cells - wanted + 18000) % 36000 - 18000)
            assert apart.max() <= 1 and (cells[cells != 40000] < 36000).all()
            continue
        else:
            fill = 40000 if name in ("SZA", "VZA") else -9999
            assert (nodata, scale) == (fill, 0.0001 if name[0] == "B" and not thermal else 0.01)
            wanted = exact_cells.expected(pixels, FACTOR, fill, exact_cells.mean(fill))
        np.testing.assert_array_equal(cells, wanted, name)


def test_shares_are_of_the_flags_where_there_is_data(granule):
    _, folder, made = granule
    with rasterio.open(folder / f"{folder.name}.Fmask.tif") as source:
        codes = source.read(1)
    with rasterio.open(made / f"{folder.name}.QA_FRACTIONS.tif") as raster:
        shares = dict(zip(raster.descriptions, raster.read(), strict=True))
    assert list(shares) == ["valid", "clear", "cloud", "cloud_shadow", "snow", "water"]  # cirrus is never set
    flags = {"clear": 14, "cloud": 2, "cloud_shadow": 8, "snow": 16, "water": 32}
    for at, window in exact_cells.windows(codes, FACTOR):
        valid = window[window != 255]
        assert abs(shares["valid"][at] - 100 * valid.size / FACTOR**2) <= 0.5  # of the whole cell, at edges too
        for name, mask in flags.items():
            has = np.count_nonzero((valid & mask != 0) == (name != "clear"))
            assert abs(shares[name][at] - (100 * has / valid.size if valid.size else 255)) <= 0.5


def test_the_product_is_right_and_reads_as_a_scene(granule):
    product, folder, made = granule
    report = ld.verify(str(made), source=str(folder))
    assert report, report.wrong
    item = json.loads((made / f"{made.name}.stac.json").read_text())
    assert item["properties"]["platform"] == ("landsat-8" if product == "hls-l30" else "sentinel-2a")
    assert item["assets"]["B04"]["href"] == f"./{folder.name}.B04.tif"
    assert (made / f"{folder.name}.cmr.xml").read_bytes() == (folder / f"{folder.name}.cmr.xml").read_bytes()
    again = ld.open_scene(str(made))
    assert (again.id, again.sensor) == (folder.name, product.replace("-", "_"))
    assert again.band("nir08").name == {"hls-l30": "B05", "hls-s30": "B8A"}[product]
    assert again.band("nir").name == {"hls-l30": "B05", "hls-s30": "B08"}[product]
    assert again.properties["datetime"] == item["properties"]["datetime"]


def test_masks_know_the_words_of_all_families_and_leave_out_no_fill(granule, tmp_path):
    _, folder, _ = granule
    plan = ld.plan(str(folder), str(tmp_path), factor=FACTOR, grid="scene", bands="red", mask="cloud,shadow,adjacent")
    [outcome] = ld.run(plan, progress=False)
    assert outcome.status == "done", outcome
    with rasterio.open(folder / f"{folder.name}.B04.tif") as source:
        pixels = source.read(1)
    with rasterio.open(folder / f"{folder.name}.Fmask.tif") as source:
        codes = source.read(1)
    pixels[(codes & 14 != 0) & (codes != 255)] = -9999
    with rasterio.open(tmp_path / f"{folder.name}_downsampled" / f"{folder.name}.B04.tif") as raster:
        wanted = exact_cells.expected(pixels, FACTOR, -9999, exact_cells.mean(-9999))
        np.testing.assert_array_equal(raster.read(1), wanted)
    lazy = ld.open_scene(str(folder)).dataset(["red", "Fmask"])
    made = ld.coarsen(lazy, factor=FACTOR, grid="scene", mask="cloud,shadow,adjacent")
    np.testing.assert_array_equal(made["red"].values, wanted)
    found = lazy["Fmask"].landsat.flags
    np.testing.assert_array_equal(found["cloud"], (codes & 2 != 0) & (codes != 255))
    np.testing.assert_array_equal(found["aerosol_climatology"], codes < 64)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("HLS-VI.L30.T06WVS.2024120T211159.v2.0.NDVI.tif", "mean is not the index of the means"),
        ("HLS.L30.39TVF.2020158.165.v1.5.tif", "give the granule of version 2.0"),
        ("HLS.S30.T35JMG.2020192T074619.v1.5.SAA.tif", "give the granule of version 2.0"),
    ],
)
def test_other_kinds_of_hls_are_refused_by_name(granule, tmp_path, name, words):
    _, folder, _ = granule
    shutil.copy(folder / f"{folder.name}.B04.tif", tmp_path / name)
    for source in (tmp_path, tmp_path / name):
        with pytest.raises(ld.SceneError, match=words):
            ld.open_scene(str(source))


def test_arrays_of_others_are_what_their_file_or_they_themselves_say(granule):
    import rioxarray

    product, folder, _ = granule
    files = {name: folder / f"{folder.name}.{name}.tif" for name in ("B04", "Fmask")}
    red, codes = (rioxarray.open_rasterio(path).squeeze(drop=True) for path in files.values())
    wanted = ld.coarsen(ld.open_scene(str(folder)).dataset(["red", "Fmask"]), factor=FACTOR, grid="scene", mask="cloud")
    both = xr.Dataset({"red": red, "Fmask": codes})
    np.testing.assert_array_equal(ld.coarsen(both, factor=FACTOR, grid="scene", mask="cloud")["red"], wanted["red"])
    codes.encoding = {}  # as of readers that forget which file it was
    with pytest.raises(ld.UsageError, match="of which table the codes of Fmask are is not known"):
        ld.coarsen(both.assign(Fmask=codes), factor=FACTOR, grid="scene", mask="cloud")
    codes.attrs |= {"landsat_band": "Fmask", "landsat_sensor": product.replace("-", "_"), "landsat_level": 3}
    codes.encoding = {"source": "a cube"}
    again = ld.coarsen(both.assign(Fmask=codes), factor=FACTOR, grid="scene", mask="cloud")
    np.testing.assert_array_equal(again["red"], wanted["red"])


def test_a_single_file_is_the_band_of_its_granule_or_what_it_is_said_to_be(granule, tmp_path):
    product, folder, _ = granule
    red = ld.open_scene(str(folder / f"{folder.name}.B04.tif"))
    assert (red.sensor, red.band("red").spec.scale, red.band("B04").nodata) == (
        product.replace("-", "_"),
        0.0001,
        -9999,
    )
    with pytest.raises(ld.UsageError, match="needs Fmask"):
        ld.plan(str(folder / f"{folder.name}.B04.tif"), str(tmp_path), factor=3, mask="cloud")[0]
    other = tmp_path / f"{folder.name}.masked.tif"
    shutil.copy(folder / f"{folder.name}.Fmask.tif", other)
    assert ld.open_scene(str(other), as_band="fmask").band("Fmask").spec.kind == "bits"


def test_a_scale_that_contradicts_the_table_is_refused(granule, tmp_path):
    _, folder, _ = granule
    file = Path(shutil.copy(folder / f"{folder.name}.B04.tif", tmp_path))
    with rasterio.open(file, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        raster.scales = [0.001]
    for source in (file, tmp_path):
        with pytest.raises(ld.SceneError, match=r"states scale 0.001 and offset 0, B04 has 0.0001 and 0 in Harmonized"):
            ld.open_scene(str(source))


def item_elsewhere(folder: Path, root: str) -> dict:
    """The item of a granule, whose assets lie below another root."""
    item = json.loads((folder / f"{folder.name}_stac.json").read_text())
    for asset in item["assets"].values():
        asset["href"] = f"{root}/{asset['href'].removeprefix('./')}"
    item["links"] = []
    return item


def test_items_of_both_hosts_name_the_bands_and_where_they_are(granule):
    product, folder, _ = granule
    roots = {
        "https://data.lpdaac.earthdatacloud.nasa.gov/lp-prod-protected/HLSL30.020/G": None,
        "https://hls2euwest.blob.core.windows.net/hls2/L30/33/T/TN/2023/07/14/G": ("hls2euwest", "hls2"),
    }
    for root, blob in roots.items():
        listing = stac_source.listing([(item_elsewhere(folder, root), Location("https://host/item"))], Location("x"))
        assert (listing.id, listing.sensor, listing.level) == (folder.name, product.replace("-", "_"), 3)
        assert sorted(listing.files) == sorted(NAMES[product].split())
        for name, file in listing.files.items():
            assert file.location.href == f"{root}/{folder.name}.{name}.tif"
            assert container(file.location) == blob and file.asset_key == name
        assert listing.specs["Fmask"].fill == 255 and 0 < listing.properties["eo:cloud_cover"] < 100


@needs_data
def test_real_item_of_lp_daac():
    path = DATA / "lazycogs" / "HLS.S30.T15MXV.2015333T161622.v2.0_item.json"
    item = json.loads(path.read_text())
    listing = stac_source.listing([(item, Location("https://cmr.earthdata.nasa.gov/item"))], Location("x"))
    assert sorted(listing.files) == sorted(NAMES["hls-s30"].split()) and listing.sensor == "hls_s30"
    assert listing.properties["platform"] == "sentinel-2a" and not listing.skipped


@needs_data
def test_real_item_of_an_index_product_is_refused():
    with pytest.raises(ld.SceneError, match="mean is not the index of the means"):
        ld.open_scene(str(DATA / "hls-vi" / "HLS-VI_stac_item.json"))


@needs_data
@pytest.mark.parametrize("name", ["HLS.L30.T06WVS.2024120T211159.v2.0", "HLS.S30.T13RCN.2024128T173909.v2.0"])
def test_real_fmask(tmp_path, name):
    for path in (DATA / "hls-vi").glob(f"{name}.*"):
        shutil.copy(path, tmp_path)
    [outcome] = ld.run(ld.plan(str(tmp_path), str(tmp_path / "out"), factor=13, grid="scene"), progress=False)
    assert outcome.status == "done", outcome
    made = tmp_path / "out" / f"{name}_downsampled"
    with rasterio.open(tmp_path / f"{name}.Fmask.tif") as source, rasterio.open(made / f"{name}.Fmask.tif") as raster:
        wanted = exact_cells.expected(source.read(1), 13, 255, exact_cells.fmask)
        np.testing.assert_array_equal(raster.read(1), wanted)
    assert (report := ld.verify(str(made), source=str(tmp_path))), report.wrong


@needs_data
@pytest.mark.parametrize(
    ("name", "crs"),
    [("HLS.L30.T19LBJ.2020239T144556.v2.0", "EPSG:32619"), ("HLS.S30.T35VLJ.2021168T100559.v2.0", "EPSG:32635")],
)
def test_real_reflectance_whose_crs_names_no_datum(tmp_path, name, crs):
    file = DATA / "hls-cmr_stac" / "recovered" / f"{name}.B01.tif"
    scene = ld.open_scene(str(file))
    assert scene.grid.crs == crs and scene.grid.transform.f == {"EPSG:32619": -1161420, "EPSG:32635": 6900000}[crs]
    [outcome] = ld.run(ld.plan(str(file), str(tmp_path), factor=11, grid="scene"), progress=False)
    assert outcome.status == "done", outcome
    with rasterio.open(file) as source, rasterio.open(next(tmp_path.glob("*/*.TIF"))) as raster:
        wanted = exact_cells.expected(source.read(1), 11, -9999, exact_cells.mean(-9999))
        np.testing.assert_array_equal(raster.read(1), wanted)


@needs_data
def test_real_angles_of_a_southern_tile_half_of_which_is_fill(tmp_path):
    """Tagged as those of version 2.0, by which name they are read."""
    name = "HLS.S30.T35JMG.2020192T074619"
    for path in (DATA / "hls-testing_data").glob("*.tif"):
        shutil.copy(path, tmp_path / path.name.replace("v1.5", "v2.0"))
    [outcome] = ld.run(ld.plan(str(tmp_path), str(tmp_path / "out"), factor=9, grid="scene"), progress=False)
    assert outcome.status == "done", outcome
    made = tmp_path / "out" / f"{name}.v2.0_downsampled"
    for angle in ("SZA", "VZA", "SAA", "VAA"):
        with rasterio.open(tmp_path / f"{name}.v2.0.{angle}.tif") as source:
            pixels = source.read(1)
        with rasterio.open(made / f"{name}.v2.0.{angle}.tif") as raster:
            cells = raster.read(1).astype(int)
            assert raster.transform.f == -3315360 and raster.crs.to_epsg() == 32635
        cell = exact_cells.direction if angle.endswith("AA") else exact_cells.mean(40000)
        wanted = exact_cells.expected(pixels, 9, 40000, cell)
        np.testing.assert_array_equal(cells == 40000, wanted == 40000)
        apart = np.abs((cells - wanted + 18000) % 36000 - 18000)
        assert apart.max() <= (1 if angle.endswith("AA") else 0), angle
    assert (report := ld.verify(str(made), source=str(tmp_path))), report.wrong


def test_the_granules_record_names_the_granule(granule):
    _, folder, _ = granule
    scene = ld.open_scene(str(folder / f"{folder.name}.cmr.xml"))
    assert scene.id == folder.name and scene.bands == ld.open_scene(str(folder)).bands


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Products of Landsat 8 and 9 and of both products of HLS, on one grid, in physical units."""
    scenes = tmp_path_factory.mktemp("mixed")
    bands = {
        "oli": ["SR_B4", "SR_B5", "QA_PIXEL"],
        "hls-l30": ["B04", "B05", "Fmask"],
        "hls-s30": ["B04", "B8A", "Fmask"],
    }
    made = [make_scene(scenes, sensor=sensor, size=(200, 180), bands=names) for sensor, names in bands.items()]
    made.append(make_scene(scenes, seed=1, size=(200, 180), bands=bands["oli"]))
    target = tmp_path_factory.mktemp("products")
    plans = ld.plan([str(one) for one in made], str(target), grid="EPSG:32633@300", units="scaled", mask="cloud,shadow")
    assert [outcome.status for outcome in ld.run(plans, progress=False)] == ["done"] * 4
    return target


@pytest.mark.slow
def test_landsat_and_hls_are_one_series(mixed):
    cube = ld.open_products(str(mixed), ["red", "nir08", "cloud", "cloud_shadow", "snow", "water", "clear", "valid"])
    assert cube.sizes["time"] == 4 and sorted(set(cube["platform"].values)) == ["landsat-8", "landsat-9", "sentinel-2a"]
    assert (
        cube["red"].attrs["standard_name"] == "surface_bidirectional_reflectance" and cube["red"].attrs["units"] == "1"
    )
    pair = cube.sel(time="2023-07-14")  # Landsat 8 and L30 of one ground, whose pixels lie half a pixel apart
    for name in ("red", "nir08"):
        both = pair[name].where((pair["clear"] > 90).all("time")).values
        known = np.isfinite(both).all(axis=0)
        assert known.sum() > 50 and np.corrcoef(both[:, known])[0, 1] > 0.95
        assert abs(np.diff(both[:, known].mean(axis=1))[0]) < 0.01
    for name in ("cloud", "cloud_shadow", "water"):
        shares = pair[name].where(pair["valid"] == 100).values
        assert np.nanmean(np.abs(shares[0] - shares[1])) < 5 < np.nanmax(shares)
    ndvi = cube.landsat.index("ndvi")
    assert -1 <= ndvi.min() < ndvi.max() <= 1


@pytest.mark.slow
def test_what_is_no_series_is_told_of(mixed, tmp_path):
    with pytest.raises(ld.UsageError, match="Fmask"):
        ld.open_products(str(mixed), ["swir16"])
    folder = make_scene(tmp_path, sensor="hls-s30", size=(60, 50), bands=["B08", "Fmask"])
    ld.run(ld.plan(str(folder), str(tmp_path / "out"), grid="EPSG:32633@300", units="scaled"), progress=False)
    both = [*Path(mixed).glob("HLS.L30*"), *(tmp_path / "out").glob("*_downsampled")]
    with pytest.raises(ld.UsageError, match="the name means nir08 in one and nir in the other"):
        ld.open_products([str(path) for path in both], ["nir"])


@needs_data
def test_a_real_granule_that_is_damaged_is_refused():
    with pytest.raises(ld.ReadError, match="TIFF is cut"):
        ld.open_scene(str(DATA / "hls-cmr_stac" / "HLS.L30.T19LBJ.2020239T144556.v2.0.B01.tif"))
