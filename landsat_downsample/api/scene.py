"""Scenes as notebooks have them: what is known of one, and its bands as lazy arrays."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from landsat_downsample.model import scene as model
from landsat_downsample.scenes import open as opening

if TYPE_CHECKING:
    from pystac import Item, ItemCollection

    from landsat_downsample.api.accessor import BandArray, BandDataset


class Scene(model.Scene, Mapping[str, "BandArray"]):
    """A Landsat scene, or a single file: a mapping of the names of its bands to lazy arrays.

    ``scene["red"]`` and ``"red" in scene`` take USGS names (``SR_B4``) and common names (``red``) in any case;
    iteration gives each band once, by its USGS name, which every band has. ``scene.bands`` has what their headers say.

    Examples
    --------
    >>> "red" in scene, list(scene)[:2], scene["red"].shape
    (True, ['SR_B1', 'SR_B2'], (500, 600))
    >>> scene.band("red")
    <Band SR_B4 (red): uint16, 500 x 600 pixels of 30, nodata 0>
    >>> scene.spec("red").scale, scene.quality.name, scene.location.name
    (2.75e-05, 'QA_PIXEL', 'LC08_L2SP_192028_20230714_20230724_02_T1')
    >>> float(scene.dataset(["red", "qa_pixel"], scaled=True)["red"].min()) > 0   # of reflectance
    True
    >>> ld.Scene.from_dict(scene.to_dict()) == scene == ld.Scene.of(scene)
    True
    """

    __slots__ = ()
    __hash__ = model.Scene.__hash__

    def __eq__(self, other: object) -> bool:
        """Equal to the same scene without lazy arrays too: plans that come back from JSON hold such."""
        return isinstance(other, model.Scene) and all(
            getattr(self, field.name) == getattr(other, field.name) for field in dataclasses.fields(self)
        )

    @classmethod
    def of(cls, scene: model.Scene) -> Scene:
        """The same scene with lazy arrays."""
        return cls(**{field.name: getattr(scene, field.name) for field in dataclasses.fields(scene)})

    def __getitem__(self, name: str) -> BandArray:
        """Open a band lazily, as a dask-backed `xarray.DataArray` of stored values, dimensions (y, x)."""
        from landsat_downsample.api import lazy_bands

        return cast("BandArray", lazy_bands.lazy_band(self, self.band(name)))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.spec(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.bands)

    def __len__(self) -> int:
        return len(self.bands)

    def _ipython_key_completions_(self) -> list[str]:
        """What IPython completes ``scene["`` with."""
        specs = [band.spec for band in self.bands.values()]
        return [*self.bands, *(spec.common_name for spec in specs if spec.common_name)]

    def dataset(
        self, names: Iterable[str] | str | None = None, *, masked: bool = False, scaled: bool = False
    ) -> BandDataset:
        """Open bands of one grid lazily, as an `xarray.Dataset` of variables with the names that were asked for.

        By default all bands but the panchromatic one, by USGS name, as stored. With `masked` NaN where there is no
        data, with `scaled` in physical units too (reflectance, kelvin); bit fields and classes stay as stored.
        """
        from landsat_downsample.api import array_values, lazy_bands

        dataset = lazy_bands.lazy_dataset(self, names)
        if scaled:
            dataset = array_values.scaled(dataset)
        elif masked:
            dataset = array_values.masked(dataset)
        return cast("BandDataset", dataset)


def open_scene(
    source: str | os.PathLike[str] | dict[str, Any] | Sequence[dict[str, Any]] | Item | ItemCollection,
    *,
    base: str | os.PathLike[str] | None = None,
    bands: Iterable[str] | str | None = None,
    requester_pays: bool = False,
    as_band: str | None = None,
    allow_hosts: Iterable[str] = (),
) -> Scene:
    """Open a Landsat scene, or a single band file, by its headers.

    Parameters
    ----------
    source : str, path, dict, pystac.Item or pystac.ItemCollection, or a sequence of these items
        Href of a GeoTIFF, of a folder or prefix that holds one scene, of its ``_MTL.json``, ``.txt`` or
        ``.xml``, of a STAC item (USGS, Planetary Computer, Earth Search) or a catalogue that points to one,
        or of a ``.tar`` as EarthExplorer delivers it. Or a STAC item itself, or the items of one scene.
    base : str or path, optional
        Where items given as such were read: their relative hrefs start there, and where it is remote
        they may not point to this machine. By default an item of pystac knows it, and so does one whose ``self`` link
        is a path; the current directory otherwise.
    bands : iterable of str, optional
        USGS or common names, in any case; all by default. QA_PIXEL comes along where there is one.
    requester_pays : bool, optional
        Whether to pay for reading, where the storage asks for it.
    as_band : str, optional
        What a single file holds, against what its name says: ``continuous``, ``BQA``, ``SR_B4`` ...
    allow_hosts : iterable of str, optional
        Hosts of this machine or its own network that remote documents and redirects may lead to. The host of
        `source` itself is allowed to a document that is read there.

    Returns
    -------
    Scene
        All bands but the panchromatic one lie on its grid.

    Raises
    ------
    SceneError
        It is not one Landsat scene that can be read rightly.
    ReadError
        Something could not be fetched, or is not a TIFF.
    UsageError
        A band that the scene does not have.

    Examples
    --------
    >>> scene = ld.open_scene("LC08_L2SP_192028_20230714_20230724_02_T1", bands="red")
    >>> scene
    <Scene LC08_L2SP_192028_20230714_20230724_02_T1: oli_tirs level 2, 500 x 600 pixels of 30, EPSG:32633>
      reflective: SR_B4 (red)
      quality: QA_PIXEL
    >>> scene["red"].dims, scene["red"].attrs["scale_factor"]
    (('y', 'x'), 2.75e-05)
    """
    return Scene.of(
        opening.open_scene(
            source, base=base, bands=bands, requester_pays=requester_pays, as_band=as_band, allow_hosts=allow_hosts
        )
    )
