"""A cube in an Icechunk repository: the arrays of the Zarr cube, the dates of a run committed as one snapshot."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from landsat_downsample.cubes.block_work import block_works, results
from landsat_downsample.cubes.cube_state import ROOT, CubeState
from landsat_downsample.cubes.growing import CubeOutcome, CubeRequest, Growth, growth_of
from landsat_downsample.cubes.reduced_scene import ReducedScene
from landsat_downsample.cubes.series import Variable
from landsat_downsample.cubes.zarr_format import needed, quiet
from landsat_downsample.errors import UsageError, WriteError
from landsat_downsample.model import environment
from landsat_downsample.model.location import S3, Location
from landsat_downsample.storage.lease import Lease

if TYPE_CHECKING:
    from landsat_downsample.execution.run import Executor

BRANCH = "main"


def write_icechunk(
    scenes: Sequence[ReducedScene],
    to: Location,
    request: CubeRequest,
    executor: Executor,
    told: Callable[[int, int], object] = lambda done, total: None,
) -> CubeOutcome:
    """Commit the dates that a repository does not have, in one snapshot of its branch ``main``.

    Raises
    ------
    UsageError
        Icechunk is not installed, or is older than the repository; else as of `growing.write_cube`.
    WriteError
        Another process writes it, or committed meanwhile; or the store refuses.
    ReadError
        A product cannot be read.
    """
    icechunk = _needed()
    if not (to.is_local or to.kind in S3):
        raise UsageError(f"Icechunk cannot write {to!r}: give a folder or s3://")
    with Lease(to), _told(to, icechunk):
        repository = _repository(icechunk, to)
        session = repository.writable_session(BRANCH)
        growth = growth_of(scenes, _state(to, session.store), request)
        outcome = growth.outcome(to)
        if growth.series is None:
            return outcome
        with quiet():
            _fill(session.store, growth, executor, told)
        session.commit(f"{len(growth.series.dates)} dates: {', '.join(outcome.added[:20])}")
    return outcome


def _needed() -> Any:
    needed()
    try:
        import icechunk
    except ImportError as error:
        raise UsageError("Icechunk is not installed: pip install 'landsat-downsample[icechunk]'") from error
    return icechunk


def _repository(icechunk: Any, to: Location) -> Any:
    """The repository of a place; a new one where there is none."""
    # On a disk it warns at each opening that two commits at once are not safe: here a lease keeps them apart.
    icechunk.set_logs_filter("error")
    if to.is_local:
        storage = icechunk.local_filesystem_storage(to.path)
    else:
        names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        endpoint = next(filter(None, map(environment.read, names)), None)
        bucket, _, prefix = to.href.partition("://")[2].partition("/")
        storage = icechunk.s3_storage(
            bucket=bucket,
            prefix=prefix,
            endpoint_url=endpoint,
            allow_http=bool(endpoint and endpoint.startswith("http://")),
            force_path_style=endpoint is not None,
            region=environment.read("AWS_DEFAULT_REGION") or None,
            from_env=True,
        )
    if icechunk.Repository.exists(storage):
        return icechunk.Repository.open(storage)
    if to.is_local and os.path.isdir(to.path) and os.listdir(to.path):
        version = icechunk.__version__
        raise UsageError(f"{to!r} is there, and no repository that Icechunk {version} reads: choose another place")
    return icechunk.Repository.create(storage)


@contextmanager
def _told(to: Location, icechunk: Any) -> Iterator[None]:
    """What Icechunk says, in one line."""
    try:
        yield
    except icechunk.ConflictError as error:
        raise WriteError(f"another process committed to {to!r} meanwhile: nothing is lost, run it again") from error
    except icechunk.IcechunkError as error:
        said = next((line for line in str(error).splitlines() if line.strip()), "it failed").strip()
        raise WriteError(f"cannot write {to!r}: {said}") from error


def _state(to: Location, store: Any) -> CubeState | None:
    """The cube of a session; None where there is none."""
    zarr = needed()
    with quiet():
        try:
            root = zarr.open_group(store, mode="r")
        except FileNotFoundError:
            return None
        arrays = {name: json.loads(_get(store, f"{name}/{ROOT}")) for name in root.array_keys()}
        if not arrays:
            return None
        # The documents as Icechunk gives them back: without consolidated metadata.
        document = {"attributes": dict(root.attrs), "consolidated_metadata": {"metadata": arrays}}
        return CubeState.of(to, lambda key: json.dumps(document).encode() if key == ROOT else _get(store, key))


def _get(store: Any, key: str) -> bytes:
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    found = sync(store.get(key, default_buffer_prototype()))
    data: bytes = found.to_bytes()
    return data


def _fill(store: Any, growth: Growth, executor: Executor, told: Callable[[int, int], object]) -> None:
    """Documents, which make arrays longer, then their cells; nobody sees them before the commit."""
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    series, before = growth.series, growth.before
    assert series is not None
    make = default_buffer_prototype().buffer.from_bytes
    documents = growth.after().documents(series.attributes())
    for key in sorted(documents, key=lambda key: (not key.endswith(ROOT), key.count("/"))):  # groups, arrays, chunks
        sync(store.set(key, make(documents[key])))
    root = needed().open_group(store, mode="r+")
    variables = {variable.name: variable for variable in series.variables}
    works = [
        work
        for name in before.layout.variables
        for work in block_works(
            series, variables.get(name) or Variable(name, {}), before.layout.form(name).block, before.count
        )
    ]
    told(0, len(works))
    for number, (work, cells) in enumerate(results(executor, works), 1):
        root[work.variable][work.place] = cells
        told(number, len(works))
