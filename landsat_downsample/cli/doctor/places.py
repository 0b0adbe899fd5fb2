"""Checks of a source and a destination."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid

from landsat_downsample.errors import WriteError
from landsat_downsample.model.family import access_rule
from landsat_downsample.model.location import S3, Location
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.scene import Scene
from landsat_downsample.model.words import size_words
from landsat_downsample.scenes.open import open_scene
from landsat_downsample.storage import remote, transport
from landsat_downsample.storage.fetch_request import FetchRequest
from landsat_downsample.storage.probe import PROBE, check_room, put_probe
from landsat_downsample.storage.publication import Publication
from landsat_downsample.storage.remote import Remote
from landsat_downsample.storage.retry import RetryBudget, classify
from landsat_downsample.storage.small_objects import remove


def describe(scene: Scene) -> str:
    """What was read of a source."""
    sizes = [band.size for band in scene.bands.values() if band.size]
    total = f", {size_words(sum(sizes))}" if sizes else ""
    return f"{scene.id}: headers of {len(scene.bands)} bands read{total}"


def opened(source: str, *, requester_pays: bool, allow_hosts: tuple[str, ...] = ()) -> Scene:
    """Open a source; headers only."""
    return open_scene(source, requester_pays=requester_pays, allow_hosts=allow_hosts)


def uses_s3(source: str | None, to: str | None, scene: Scene | None) -> bool:
    """Whether S3 requests will be made with keys of the user's own."""
    return any(place.kind in S3 and access_rule(place.href) is None for place in _asked_places(source, to, scene))


def uses_earthdata(source: str | None, scene: Scene | None) -> bool:
    """Whether something is read that an Earthdata login opens."""
    rules = (access_rule(place.href) for place in _asked_places(source, None, scene))
    return any(rule.access == "earthdata" for rule in rules if rule)


def _asked_places(source: str | None, to: str | None, scene: Scene | None) -> list[Location]:
    hrefs = [href for href in (source, to) if href] + [band.href for band in (scene.bands.values() if scene else ())]
    return [Location(href.rpartition("::")[2] or href) for href in hrefs]


def largest_fetched(scene: Scene | None) -> int | None:
    """Bytes of the largest band, 0 where bands are read in place; None without a scene."""
    if scene is None:
        return None
    return max((band.size or 0 for band in scene.bands.values() if not band.location.is_local), default=0)


def takes(dest: str, needed: float = 0, what: str = "") -> str:
    """Write, read and remove a probe the way products are published; compare the room with what is needed.

    Raises
    ------
    WriteError
        It does not take one, has too little room, or would let two runs write over each other.
    UsageError
        It cannot be a destination.
    """
    Publication(dest, "doctor")  # refuses what cannot be one
    place = Location(dest)
    return _folder_takes(place.path, needed, what) if place.is_local else _store_takes(place)


def needed(scene: Scene | None, dest: str, factor: float | None, scenes: int) -> tuple[float, str]:
    """Bytes that so many scenes like one will take, and what they are; none where that is not known."""
    if scene is None or factor is None:
        return 0, ""
    from landsat_downsample.execution.cost import cost_of

    return cost_of(plan_scene(scene, dest, Options(factor=factor))).bytes_out * scenes, f"{scenes} scenes like it"


def _folder_takes(path: str, needed: float, what: str) -> str:
    missing = _missing(path)
    try:
        os.makedirs(path, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".landsat-downsample-doctor-", dir=path) as work:
            _publish_in(work)
        free = shutil.disk_usage(path).free
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise WriteError(f"cannot write to {path!r}: {reason}: choose a folder that you may write to") from error
    finally:
        for folder in missing:
            if os.path.isdir(folder) and not os.listdir(folder):
                os.rmdir(folder)
    check_room(path, free, needed, what)
    note = f", about {size_words(int(needed))} needed by {what}" if needed else ""
    return f"{path}: written, synced, renamed and removed; {size_words(free)} free{note}"


def _missing(path: str) -> list[str]:
    """Folders on the way that are not there yet, the deepest first."""
    found = []
    while path and not os.path.lexists(path):
        found.append(path)
        path = os.path.dirname(path)
    return found


def _publish_in(work: str) -> None:
    """Rename a folder into place, and see that a second one is refused."""
    for name in ("first", "second"):
        os.mkdir(os.path.join(work, name))
        with open(os.path.join(work, name, "probe"), "wb") as file:
            file.write(PROBE)
            file.flush()
            os.fsync(file.fileno())
    final = os.path.join(work, "final")
    os.rename(os.path.join(work, "first"), final)
    with open(os.path.join(final, "probe"), "rb") as file:
        if file.read() != PROBE:
            raise WriteError(f"cannot write to {work!r}: what was written is not what is read back: see that disk")
    try:
        os.rename(os.path.join(work, "second"), final)
    except OSError:
        return
    raise WriteError(f"cannot publish to {work!r}: a folder replaces another unasked there: choose another file system")


def _store_takes(dest: Location) -> str:
    policy, probe = Policy.from_environ(), dest / f"landsat-downsample-doctor-{uuid.uuid4().hex}"
    retry_budget, what = RetryBudget(policy, WriteError), f"cannot write to {dest!r}"
    conditional = retry_budget.call(what, lambda seconds: put_probe(probe, dest, policy, seconds, create=True))
    try:
        refused = conditional and retry_budget.call(what, lambda seconds: _second_is_refused(probe, policy, seconds))
        data = remote.read_whole(Remote(FetchRequest(probe, policy=policy)), 1 << 16)
    finally:
        remove(probe, policy=policy)
    if refused and data != PROBE:
        raise WriteError(f"{what}: what was written is not what is read back: see that store")
    if not refused:
        raise WriteError(
            f"{dest!r} takes objects, but no conditional ones (If-None-Match): two runs of one scene would write over "
            "each other; give each run a prefix of its own, or update the store"
        )
    return f"{dest}: an object was written, a second one of its name refused, both removed"


def _second_is_refused(probe: Location, policy: Policy, seconds: float) -> bool:
    try:
        transport.put(probe, b"another", metadata={}, create=True, policy=policy, seconds=seconds)
    except Exception as error:
        if classify(error).status == 412:
            return True
        raise
    return False
