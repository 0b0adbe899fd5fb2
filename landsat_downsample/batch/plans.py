"""Plans of many scenes as one value: each scene is opened when it is looked at, or when its turn comes in a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

from landsat_downsample.batch.requests import SceneRequest
from landsat_downsample.errors import LandsatDownsampleError, UsageError
from landsat_downsample.model.plan import ScenePlan, estimate
from landsat_downsample.model.shown import Shown
from landsat_downsample.model.words import count_words, size_words

if TYPE_CHECKING:
    from landsat_downsample.batch.parts import Share

#: Scenes that are opened when many are planned: the first that can be, of so many.
TRIED = 3

#: Plans that are shown, and what of each.
SHOWN, COLUMNS = 20, ("scene", "bands", "cells", "to read", "to write at most")


class Plans(Sequence[ScenePlan]):
    """What `run` is to do: a plan for each scene, made when it is asked for.

    A scene that cannot be opened raises where it is looked at (``plans[3]``); in a run it is an outcome that failed.
    Slices and sums of plans are plans: ``run(plans[:3])`` tries the first three.

    Examples
    --------
    >>> plans = ld.plan([scene, "a_scene_that_is_not_there"], "out", factor=10)
    >>> len(plans), plans[0].name, plans.check() is plans
    (2, 'LC08_L2SP_192028_20230714_20230724_02_T1_downsampled', True)
    >>> [outcome.status for outcome in ld.run(plans[:1] + plans[1:], check=False)]
    ['done', 'failed']
    """

    def __init__(self, requests: Iterable[SceneRequest], share: Share | None = None) -> None:
        self.requests = tuple(requests)
        self.share = share

    def __len__(self) -> int:
        return len(self.requests)

    @overload
    def __getitem__(self, index: int) -> ScenePlan: ...
    @overload
    def __getitem__(self, index: slice) -> Plans: ...
    def __getitem__(self, index: int | slice) -> ScenePlan | Plans:
        if isinstance(index, slice):
            return Plans(self.requests[index])
        return self.requests[index].keep()

    def __iter__(self) -> Iterator[ScenePlan]:
        return (request.keep() for request in self.requests)

    def __add__(self, other: Iterable[ScenePlan]) -> Plans:
        return Plans([*self.requests, *requests_of(other)])

    def _shown(self) -> Shown:
        """Of one scene its own table; of several a row each, with what is known of those that are open."""
        if len(self) == 1 and (plan := self.requests[0].kept):
            return plan.shown()
        blank = ("",) * (len(COLUMNS) - 1)
        rows = [_row(one.kept) if one.kept else (one.label, *blank) for one in self.requests[:SHOWN]]
        left = len(self) - SHOWN
        below = [f"and {left} more"] if left > 0 else []
        if any(one.kept is None for one in self.requests):
            below.append("sizes of the others are known once they are opened: by plans[n], or list(plans) for all")
        columns = COLUMNS if rows else ()
        return Shown((f"{count_words(len(self), 'plan')}",), columns, tuple(rows), tuple(below))

    def __repr__(self) -> str:
        return self._shown().text()

    def _repr_html_(self) -> str:
        return self._shown().html()

    def check(self, *, alone: bool = False) -> Plans:
        """Open the first scene that can be opened, so that what no scene has is refused before a run.

        Parameters
        ----------
        alone : bool
            Whether one scene is meant, whose error is raised whatever it is.

        Raises
        ------
        UsageError
            None of the first scenes has what is asked for.
        LandsatDownsampleError
            The one scene cannot be opened.
        """
        errors: list[Exception] = []
        for request in self.requests[:TRIED]:
            try:
                request.keep()
            except Exception as error:
                if alone:
                    raise
                errors.append(error)
                if not isinstance(error, LandsatDownsampleError):
                    break  # the run meets it again
            else:
                return self
        of_options = [error for error in errors if isinstance(error, UsageError)]
        if of_options and len(of_options) == len(errors) and not any(one.entry.error for one in self.requests[:TRIED]):
            raise of_options[0]
        return self


def requests_of(plans: object) -> Iterator[SceneRequest]:
    """What is to be run, of whatever `run` takes.

    Raises
    ------
    UsageError
        It is no plan.
    """
    if isinstance(plans, Plans):
        yield from plans.requests
    elif isinstance(plans, ScenePlan):
        yield SceneRequest.of(plans)
    elif isinstance(plans, Iterable) and not isinstance(plans, (str, dict)) and not hasattr(plans, "bands"):
        for one in plans:
            yield from requests_of(one)
    else:
        raise UsageError(f"run takes plans, and {type(plans).__name__!r} is none: give what plan(...) returns")


def _row(plan: ScenePlan) -> tuple[str, ...]:
    """One plan in the table of several."""
    cost, (height, width) = estimate(plan), plan.coarse.shape
    sizes = size_words(cost["bytes_in"]), size_words(cost["bytes_out"])
    return plan.id, str(len(plan.targets)), f"{height} x {width}", *sizes
