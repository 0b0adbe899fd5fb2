"""What an executor carries out: one band of a scene, or whatever else is as large and stands by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from landsat_downsample.model.target import Target
from landsat_downsample.pipeline.band import Done, process
from landsat_downsample.products.picture import draw
from landsat_downsample.storage.publication import Publication


class Work(Protocol):
    """A piece of work. It goes to workers as a pickle, and gives back something small."""

    @property
    def group(self) -> str:
        """A token of what it is part of: parts of one thing are given up together."""

    @property
    def names(self) -> tuple[str, str]:
        """What it works on, for dashboards: band and scene."""

    @property
    def label(self) -> str:
        """What it is called in messages: ``band SR_B4``."""

    @property
    def host(self) -> str | None:
        """Host or bucket that its bytes come from; None for this machine's disks."""

    @property
    def bytes_in(self) -> int:
        """Bytes that it will read, about."""

    def carry_out(self, idle_threads: Callable[[], int]) -> Any:
        """Do it; `idle_threads` is as of `pipeline.band.reduce_target`."""


@dataclass(frozen=True, slots=True)
class BandWork:
    """A band of a scene: reduced, and its files stored."""

    target: Target
    publication: Publication
    alone: bool = False
    """Whether its product has no other band: where a thread is idle it draws the picture meanwhile."""

    @property
    def group(self) -> str:
        """As of `Work`: the scene's publication."""
        return self.publication.token

    @property
    def names(self) -> tuple[str, str]:
        """As of `Work`."""
        return self.target.band.name, self.target.scene_id

    @property
    def label(self) -> str:
        """As of `Work`."""
        return f"band {self.target.key}"

    @property
    def host(self) -> str | None:
        """As of `Work`."""
        return self.target.band.location.host

    @property
    def bytes_in(self) -> int:
        """As of `Work`."""
        return self.target.bytes_in

    def carry_out(self, idle_threads: Callable[[], int]) -> Done:
        """As of `Work`."""
        beside = partial(draw, title=self.target.scene_id) if self.alone and idle_threads() > 1 else None
        return process(self.target, self.publication, idle_threads, beside)
