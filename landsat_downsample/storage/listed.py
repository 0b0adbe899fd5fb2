"""What one listing tells of the files of a folder or prefix; and of many prefixes, from pages that they share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from landsat_downsample.errors import ReadError
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy

if TYPE_CHECKING:
    from landsat_downsample.formats.s3_page import Page

#: Name, bytes, and time in nanoseconds or ETag of a file.
File = tuple[str, int, str]

#: Objects that a page may hold, as S3 has it; that the smallest one is asked for; that a scene may have.
MOST, LEAST, OF_SCENE = 1000, 50, 30


def listed(place: Location, policy: Policy) -> list[File]:
    """Name, bytes, and time in nanoseconds or ETag of each file directly in a folder or S3 prefix, or of a local file.

    Returns
    -------
    list
        In the order of their names; empty where there is nothing, or a store tells no ETags.

    Raises
    ------
    ReadError
        It cannot be listed.
    """
    return _local(place.path) if place.is_local else _remote(place, policy)


def _local(path: str) -> list[File]:
    try:
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                found = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
        else:
            found = [("", os.stat(path))]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ReadError(f"cannot list {path!r}: {(error.strerror or 'it failed').lower()}") from error
    return sorted((name, facts.st_size, str(facts.st_mtime_ns)) for name, facts in found)


def _remote(place: Location, policy: Policy) -> list[File]:
    ask, objects, token = _asker(Location(place.href.rstrip("/") + "/"), policy), [], ""
    while True:
        page = ask(deep=False, token=token)
        objects += page.objects
        if not (token := page.token):
            return _files(objects)


def _asker(prefix: Location, policy: Policy) -> Callable[..., Page]:
    """Asks for pages of a listing, each within a retry budget."""
    from landsat_downsample.storage import transport  # here: a folder needs nothing of what it loads
    from landsat_downsample.storage.retry import RetryBudget

    def ask(**asked: object) -> Page:
        return RetryBudget(policy).call(
            f"cannot list {prefix!r}",
            lambda seconds: transport.page(prefix, policy=policy, seconds=seconds, **asked),  # type: ignore[arg-type]
        )

    return ask


def _files(objects: Iterable[File]) -> list[File]:
    """Files of the objects of one prefix, without the one that stands for the prefix itself."""
    files = [(key.rpartition("/")[2], size, etag) for key, size, etag in objects if not key.endswith("/")]
    return sorted(files) if all(etag.strip('"') for _, _, etag in files) else []


def neighbours(places: Sequence[Location], policy: Policy) -> Iterator[tuple[Location, list[File]]]:
    """List S3 prefixes of one bucket that lie near each other by pages that they share: as `listed`, in other order.

    Each page begins at one of them, and is no larger than what was of use in the last one lets expect: no more
    is asked for than `listed` would ask for one by one, however many other objects there are between them.

    Parameters
    ----------
    places : sequence of Location
        Few enough to be listed one page after another.

    Yields
    ------
    tuple
        A place and its files. Those that no page shows whole, as their deeper folders fill it, are left out.

    Raises
    ------
    ReadError
        They cannot be listed.
    """
    by_key = {place.href.partition("://")[2].partition("/")[2].rstrip("/") + "/": place for place in places}
    folders = sorted(by_key)
    bucket = places[0].href.partition("://")[2].partition("/")[0]
    common = os.path.commonprefix(folders)  # noqa: RUF071 - keys, sign by sign
    ask = _asker(Location(f"{places[0].kind}://{bucket}/{common}"), policy)
    at, useful, most = 0, 0, OF_SCENE * len(folders)
    while at < len(folders):
        page = ask(deep=True, after=folders[at], most=max(LEAST, min(most, MOST)))
        last = page.objects[-1][0] if page.objects else ""
        of: dict[str, list[File]] = {}
        for one in page.objects:
            of.setdefault(one[0].rpartition("/")[0] + "/", []).append(one)
        begun, before = at, useful
        while at < len(folders) and (not page.token or (last > folders[at] and not last.startswith(folders[at]))):
            useful += len(of.get(folders[at], ()))
            yield by_key[folders[at]], _files(of.get(folders[at], ()))
            at += 1
        if at == begun and most < MOST:
            most = MOST
            continue
        at = max(at, begun + 1)
        # Not many more than were of use, nor than those that are left will have.
        most = min(2 * (useful - before), (len(folders) - at + 1) * useful // at + LEAST)


def below(place: Location, starts: Sequence[str], policy: Policy) -> dict[str, tuple[int, str]]:
    """Bytes and ETag of all objects under an S3 prefix, deeper folders too, by what follows the prefix in their keys.

    Parameters
    ----------
    starts : sequence of str
        Folders under it, in order, from each of which a thread of its own lists until it meets what the next one began
        with: in whatever order a store lists, nothing is left out. It need not have them.

    Raises
    ------
    ReadError
        It cannot be listed.
    """
    prefix = Location(place.href.rstrip("/") + "/")
    root, ask = prefix.href.partition("://")[2].partition("/")[2], _asker(prefix, policy)

    def walk(page: Page, end: str | None) -> list[File]:
        found: list[File] = []
        while True:
            for one in page.objects:
                if one[0] == end:
                    return found
                found.append(one)
            if not page.token:
                return found
            page = ask(deep=True, token=page.token)

    with ThreadPoolExecutor(len(starts) + 1, thread_name_prefix="listing") as pool:
        first = list(pool.map(lambda start: ask(deep=True, after=f"{root}{start}/" if start else ""), ["", *starts]))
        ends = [page.objects[0][0] if page.objects else None for page in first[1:]]
        walked = pool.map(walk, first, [*ends, None])
        return {key.removeprefix(root): (size, etag) for part in walked for key, size, etag in part}
