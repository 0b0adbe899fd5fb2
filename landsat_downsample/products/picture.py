"""The browse picture of a product: drawn while other bands are at work, once those that it shows are there."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from contextvars import copy_context

from landsat_downsample.model.gdal import gdal_settings
from landsat_downsample.model.plan import ScenePlan
from landsat_downsample.pipeline.band import Done
from landsat_downsample.products import browse


def draw(*done: Done, title: str) -> bytes:
    """Draw the picture from the small copies of a product's bands."""
    with gdal_settings():
        return browse.render(
            {part.name: part.preview for part in done},
            {part.name: part.spec for part in done},
            {part.name: part.preview_nodata for part in done},
            title=title,
        )


def shown_bands(plan: ScenePlan) -> frozenset[str]:
    """Names of the bands that the picture is made of if each of them has data; none where only pixels can tell."""
    specs = {target.band.name: target.band.spec for target in plan.targets if not target.index}
    if len(specs) < 2 or any(spec.candidates for spec in specs.values()):
        return frozenset()
    return browse.inputs(specs)


class EarlyPicture:
    """The picture of one product, drawn by a pool as soon as its bands have come."""

    def __init__(self, plan: ScenePlan, pool: Executor) -> None:
        self._title, self._names, self._pool = plan.scene.id, shown_bands(plan), pool
        self._there: list[Done] = []
        self._drawn: Future[bytes | None] | None = None

    def shows(self, name: str) -> bool:
        """Whether a band is one of those that it needs."""
        return name in self._names

    def add(self, done: Done) -> None:
        """Take a band that is done."""
        if done.name in self._names:
            self._there.append(done)
            if len(self._there) == len(self._names):
                self._drawn = self._pool.submit(copy_context().run, self._draw)

    @property
    def is_drawn(self) -> bool:
        """Whether it is there, so that nothing else needs the small copies of bands."""
        return self._drawn is not None and self._drawn.done() and not self._drawn.exception() and bool(self.result())

    def result(self) -> bytes | None:
        """The picture; None where it was not drawn: the others decide what is shown instead of a band without data."""
        return self._drawn.result() if self._drawn else None

    def _draw(self) -> bytes | None:
        there, self._there = self._there, []
        arrays = {part.name: part.preview for part in there}
        specs = {part.name: part.spec for part in there}
        nodata = {part.name: part.preview_nodata for part in there}
        return draw(*there, title=self._title) if browse.all_have_data(arrays, specs, nodata) else None
