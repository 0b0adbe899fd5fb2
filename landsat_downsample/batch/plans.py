"""Plans of many scenes as one value: each scene is opened when it is looked at, or when its turn comes in a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

from landsat_downsample.batch.requests import SceneRequest
from landsat_downsample.errors import LandsatDownsampleError, UsageError
from landsat_downsample.model.plan import ScenePlan
from landsat_downsample.model.words import count_words

if TYPE_CHECKING:
    from landsat_downsample.batch.parts import Share

#: Scenes that are opened when many are planned: the first that can be, of so many.
TRIED = 3

#: Scenes that a repr names.
SHOWN = 5


class Plans(Sequence[ScenePlan]):
    """What `run` is to do: a plan for each scene, made when it is asked for.

    A scene that cannot be opened raises where it is looked at (``plans[3]``); in a run it is an outcome that failed.
    Slices and sums of plans are plans: ``run(plans[:3])`` tries the first three.
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

    def __repr__(self) -> str:
        lines = []
        for request in self.requests[:SHOWN]:
            if plan := request.kept:
                size = f"{count_words(len(plan.targets), 'band')}, {plan.coarse.height} x {plan.coarse.width} cells"
                lines.append(f"\n  {plan.scene.id}: {size}")
            else:
                lines.append(f"\n  {request.label}")
        left = len(self) - SHOWN
        lines += [f"\n  ... {left} more"] if left > 0 else []
        return f"<Plans: {count_words(len(self), 'scene')}>{''.join(lines)}"

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
