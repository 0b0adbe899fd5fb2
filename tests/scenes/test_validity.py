"""What a file says of its pixels by other means than a nodata tag: honoured, or refused with words that keep it."""

from __future__ import annotations

import shutil
import tarfile

import numpy as np
import pytest
import rasterio
import rioxarray
from affine import Affine
from command import call
from loopback import serving
from rasterio.enums import ColorInterp

import landsat_downsample as ld
from landsat_downsample.errors import SceneError

SHAPE = (43, 38)
NAME = "arc.tif"
PLACE = Affine(30, 0, 300000, 0, -30, 5100000)


def write(path, data=None, *, mask=None, inside=True, overviews=(), **profile):
    """A small raster, and perhaps a mask."""
    data = np.random.default_rng(6).integers(9000, 11000, (1, *SHAPE)).astype("int16") if data is None else data
    count, height, width = data.shape
    profile = {"dtype": data.dtype, "count": count, "height": height, "width": width} | profile
    place = {"crs": "EPSG:32633", "transform": PLACE}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside),
        rasterio.open(path, "w", driver="GTiff", **place | profile) as file,
    ):
        file.write(data)
        if mask is not None:
            file.write_mask(mask)
        if overviews:
            file.build_overviews(overviews)
    return path


def holed():
    """Pixels of which a part has no data, and says so by -9999."""
    data = np.random.default_rng(6).integers(9000, 11000, (1, *SHAPE)).astype("int16")
    data[..., :15] = -9999
    return data


def pam(text: str) -> str:
    return f'<PAMDataset><PAMRasterBand band="1">{text}</PAMRasterBand></PAMDataset>'


def run(path, dest, *options):
    """The cells that `run` writes."""
    done = call("run", path, "--to", dest, "--factor", 10, "-q", *options)
    assert done.code == 0, done.err
    (made,) = dest.glob("*/*.TIF")
    with rasterio.open(made) as file:
        return file.read(1), file.nodata


def lazy(path):
    with rioxarray.open_rasterio(path) as array:
        return np.asarray(ld.coarsen(array[0], factor=10))


half = np.ones(SHAPE, bool)
half[:, :15] = False


@pytest.mark.parametrize("inside", [True, False], ids=["in the file", "beside it"])
@pytest.mark.parametrize("overviews", [(), (2,)], ids=["", "overviews"])
def test_a_mask_is_refused_and_not_thrown_away(inside, overviews, tmp_path):
    path = write(tmp_path / NAME, mask=half, inside=inside, overviews=overviews)
    assert (tmp_path / f"{NAME}.msk").exists() is not inside
    with pytest.raises(SceneError, match=r"by a mask .*\(gdalwarp -dstnodata 0 IN OUT\)$"):
        ld.open_scene(path)


def test_a_mask_of_an_overview_alone_is_refused(tmp_path):
    path = write(tmp_path / NAME, overviews=(2,))
    data = bytearray(path.read_bytes())
    data[data.index(b"\xfe\x00\x04\x00\x01\x00\x00\x00\x01") + 8] |= 4  # NewSubfileType: overview, and mask
    path.write_bytes(data)
    with pytest.raises(SceneError, match="by a mask"):
        ld.open_scene(path)


def test_what_gdal_makes_a_mask_of_several_nodata_values_is_refused(tmp_path):
    path = write(tmp_path / NAME)
    with rasterio.open(path, "r+") as file:
        file.update_tags(NODATA_VALUES="9500")
    with pytest.raises(SceneError, match="by a mask"):
        ld.open_scene(path)


@pytest.mark.parametrize("count", [2, 4])
def test_an_alpha_band_is_refused_and_not_thrown_away(count, tmp_path):
    data = np.full((count, *SHAPE), 200, "uint8")
    data[-1] = np.where(half, 255, 0)
    path = write(tmp_path / NAME, data)
    with rasterio.open(path, "r+") as file:
        colours = [ColorInterp.gray] if count == 2 else [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        file.colorinterp = [*colours, ColorInterp.alpha]
    with pytest.raises(
        SceneError, match=rf"by an alpha band \(band {count}\).*\(gdalwarp -dstnodata 0 IN OUT.*lose it"
    ):
        ld.open_scene(path)


def test_two_bands_without_alpha_are_to_be_split(tmp_path):
    with pytest.raises(SceneError, match=r"holds 2 bands.*gdal_translate -b 1"):
        ld.open_scene(write(tmp_path / NAME, np.ones((2, *SHAPE), "uint16")))


def test_a_nodata_value_beside_the_file_counts_as_in_it(tmp_path):
    path = write(tmp_path / NAME, holed())
    (tmp_path / f"{NAME}.aux.xml").write_text(pam("<NoDataValue>-9999</NoDataValue>"))
    cells, nodata = run(path, tmp_path / "out")
    assert nodata == -9999 and (cells[:, 0] == -9999).all() and (cells[:, 1:] > 8000).all()
    np.testing.assert_array_equal(cells, lazy(path))
    inside = write(tmp_path / "inside.tif", holed(), nodata=-9999)
    np.testing.assert_array_equal(cells, run(inside, tmp_path / "same")[0])


def test_a_sidecar_of_statistics_changes_nothing(tmp_path):
    path = write(tmp_path / NAME, holed(), nodata=-9999)
    before = run(path, tmp_path / "before")
    text = '<Metadata><MDI key="STATISTICS_MEAN">7</MDI></Metadata><NoDataValue>-9999</NoDataValue>'
    (tmp_path / f"{NAME}.aux.xml").write_text(pam(text))
    after = run(path, tmp_path / "after")
    np.testing.assert_array_equal(before[0], after[0])
    assert before[1] == after[1] == -9999


CONTRADICTIONS = {
    "another nodata": (pam("<NoDataValue>0</NoDataValue>"), "says nodata 0, its own tag says -9999"),
    "another place": (
        "<PAMDataset><GeoTransform> 300030, 30, 0, 5100000, 0, -30</GeoTransform></PAMDataset>",
        "puts it elsewhere",
    ),
}


@pytest.mark.parametrize(("text", "words"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_sidecar_that_contradicts_its_file_is_refused(text, words, tmp_path):
    path = write(tmp_path / NAME, holed(), nodata=-9999)
    (tmp_path / f"{NAME}.aux.xml").write_text(text)
    with pytest.raises(SceneError, match=rf"arc.tif.aux.xml beside it {words}"):
        ld.open_scene(path)


def test_blocks_never_written_take_no_nodata_from_beside(tmp_path):
    path = tmp_path / NAME
    profile = {"dtype": "int16", "count": 1, "height": 300, "width": 300, "crs": "EPSG:32633", "sparse_ok": True}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, transform=PLACE, **profile):
        pass
    (tmp_path / f"{NAME}.aux.xml").write_text(pam("<NoDataValue>-9999</NoDataValue>"))
    with pytest.raises(SceneError, match="never written"):
        ld.open_scene(path)


# In archives and remote folders --------------------------------------------------------------


@pytest.fixture(name="scene", params=[".msk", ".aux.xml"])
def _scene(request, tmp_path):
    """A scene with a sidecar that says something, and its ending."""
    folder = ld.make_scene(tmp_path, size=(140, 130), bands=["SR_B4", "QA_PIXEL"])
    (band,) = folder.glob("*_SR_B4.TIF")
    text = pam("<NoDataValue>9</NoDataValue>") if request.param == ".aux.xml" else "mask"
    (folder / f"{band.name}{request.param}").write_text(text)
    return folder, request.param


def test_sidecars_in_an_archive_are_refused(scene, tmp_path):
    folder, ending = scene
    archive = tmp_path / f"{folder.name}.tar"
    with tarfile.open(archive, "w") as tar:
        for path in folder.iterdir():
            tar.add(path, path.name)
    with pytest.raises(SceneError, match=rf"_SR_B4.TIF{ending}' beside it says more of its pixels"):
        ld.open_scene(archive)


def test_sidecars_in_a_remote_folder_are_refused(scene):
    folder, ending = scene
    match = rf"_SR_B4.TIF{ending}' beside it says more of its pixels"
    with serving(folder=folder) as address, pytest.raises(SceneError, match=match):
        ld.open_scene(f"{address}/")


def test_statistics_in_an_archive_are_harmless(tmp_path):
    folder = ld.make_scene(tmp_path, size=(140, 130), bands=["SR_B4", "QA_PIXEL"])
    (band,) = folder.glob("*_SR_B4.TIF")
    (folder / f"{band.name}.aux.xml").write_text(pam('<Metadata><MDI key="STATISTICS_MEAN">7</MDI></Metadata>'))
    archive = tmp_path / f"{folder.name}.tar"
    with tarfile.open(archive, "w") as tar:
        for path in folder.iterdir():
            tar.add(path, path.name)
    assert list(ld.open_scene(archive).bands) == ["SR_B4", "QA_PIXEL"]


# Classes -------------------------------------------------------------------------------------


CODES = np.array([1, 2, 11, 41, 82])


def classes(path, dtype="uint8", **profile):
    return write(path, np.random.default_rng(3).choice(CODES, (1, *SHAPE)).astype(dtype), **profile)


def with_colours(path):
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {k: (k, 255 - k, k, 255) for k in range(256)})


def with_flags(path):
    with rasterio.open(path, "r+") as file:
        file.update_tags(1, flag_values="1,2,11,41,82", flag_meanings="a b c d e")


def with_layer_type(path):
    path.with_name(f"{path.name}.aux.xml").write_text(pam('<Metadata><MDI key="LAYER_TYPE">thematic</MDI></Metadata>'))


def with_table_of_classes(path):
    path.with_name(f"{path.name}.vat.dbf").write_bytes(b"\x03")


@pytest.mark.parametrize("tell", [with_colours, with_flags, with_layer_type, with_table_of_classes])
def test_classes_that_say_so_are_never_averaged(tell, tmp_path):
    path = classes(tmp_path / "scene_2019.tif", photometric="palette" if tell is with_colours else "minisblack")
    tell(path)
    assert set(np.unique(run(path, tmp_path / "out")[0])) <= set(CODES)
    numbers = ld.open_scene(path, as_band="continuous")
    assert numbers.bands.popitem()[1].spec.kind == "continuous", "who says so may average them"


@pytest.mark.parametrize(
    "name",
    [
        "LC08_L1TP_192028_20230714_20230724_02_T1_Fmask4.tif",
        "LC80060522014113LGN00_cfmask.tif",
        "fmask.tif",
        "pixel_qa.tif",
        "nlcd_2019.tif",
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16"])
def test_classes_whose_name_says_so_are_never_averaged(name, dtype, tmp_path):
    assert set(np.unique(run(classes(tmp_path / name, dtype), tmp_path / "out")[0])) <= set(CODES)


def test_numbers_that_are_no_codes_are_averaged_whatever_their_name(tmp_path):
    data = np.random.default_rng(1).random((1, *SHAPE)).astype("float32")
    assert ld.open_scene(write(tmp_path / "cloud_mask.tif", data)).bands.popitem()[1].spec.kind == "continuous"


@pytest.mark.parametrize("place", ["scene", "lone"])
def test_a_band_of_the_catalogue_with_a_colour_table_is_refused(place, tmp_path):
    folder = ld.make_scene(tmp_path, size=(140, 130), bands=["SR_B4", "QA_PIXEL"])
    (band,) = folder.glob("*_SR_B4.TIF")
    with rasterio.open(band) as file:
        profile, data = file.profile, file.read()
    shutil.copy(band, tmp_path / band.name)
    with rasterio.open(band, "w", **profile | {"driver": "GTiff", "photometric": "palette"}) as file:
        file.write(data)
        file.write_colormap(1, {k: (k % 256, 0, 0, 255) for k in range(1 << 16)})
    with pytest.raises(SceneError, match="holds classes, which SR_B4 does not"):
        ld.open_scene(folder if place == "scene" else band)
