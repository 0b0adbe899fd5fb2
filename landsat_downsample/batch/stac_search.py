"""Searches of STAC APIs: paged, patient within the budget, and not believed where they can be checked."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from landsat_downsample.batch.stac_query import Query, is_landsat
from landsat_downsample.errors import LandsatDownsampleError, ReadError, UsageError
from landsat_downsample.formats import checked_item, stac_item
from landsat_downsample.model.location import Location, redacted_repr
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import small_objects

#: More pages than any search for Landsat has; and empty ones in a row that an API may give before it has more.
MAX_PAGES = 100_000
MAX_EMPTY = 20

#: More scenes than a search takes that names no limit of its own.
MAX_SCENES = 100_000

#: Seconds between two reports of a search that goes on.
REPORTED_EVERY = 10

#: An answer is made by a database while we wait: it may stay silent this much longer than a file's.
SLOWER = 2


@dataclass(frozen=True, slots=True)
class _Request:
    """One request for a page."""

    __repr__ = redacted_repr

    href: str
    body: dict[str, Any] | None = None
    """Sent by POST; None for GET."""

    @property
    def identity(self) -> str:
        return hashlib.sha256(json.dumps([self.href, self.body], sort_keys=True).encode()).hexdigest()


@dataclass(slots=True)
class _Progress:
    """How far a search is: reported now and then, and ended where it goes on for too long."""

    query: Query
    report: Callable[[str], None]
    clock: Callable[[], float]
    taken: set[str] = field(default_factory=set)
    """Names of the scenes found."""
    begun: float = field(init=False)
    reported: float = field(init=False)

    def __post_init__(self) -> None:
        self.begun = self.reported = self.clock()

    def check(self, pages: int) -> None:
        """Look at the limits before another page is asked for.

        Raises
        ------
        ReadError
            One of them is reached.
        """
        now, far = self.clock(), f"{len(self.taken)} scenes on {pages} pages"
        over = None
        if self.query.limit is None and len(self.taken) >= MAX_SCENES:
            over = "give --limit, the scenes to take at most"
        elif now - self.begun >= self.query.search_time:
            over = f"raise --search-time (now {self.query.search_time:g} s)"
        if over:
            url = Location(self.query.url)
            raise ReadError(f"the search of {url!r} is not at its end after {far}: narrow it down, or {over}")
        if now - self.reported >= REPORTED_EVERY:
            self.report(f"the search goes on: {far} so far")
            self.reported = now


def search(
    query: Query,
    *,
    policy: Policy | None = None,
    report: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[dict[str, Any]]:
    """Ask a STAC API for scenes.

    Parameters
    ----------
    query : Query
        What is wanted.
    policy : Policy, optional
        Retry budget of each page; from the environment if not given.
    report : callable, optional
        Gets a line now and then while the search goes on.
    clock : callable, optional
        Tells seconds, for the reports and `Query.search_time`.

    Yields
    ------
    dict
        STAC items that fit, as the API gives them, page by page; and what is none that can be opened.

    Raises
    ------
    UsageError
        The URL is not a STAC API's, it has no such collection, or nothing is found.
    ReadError
        It does not answer, its pages go round in circles, or it finds no end within `Query.search_time`
        and `MAX_SCENES`.
    """
    policy = policy or Policy.from_environ()
    policy = replace(policy, timeout=policy.timeout * SLOWER)
    root = _root(query, policy)
    progress = _Progress(query, report, clock)
    taken = progress.taken
    seen: list[int] = [0, 0]  # items, and those that are Landsat's
    for page in _pages(_first(query, root), query, policy, progress):
        added = False
        for item, known in page:
            if known is None:
                yield item
                continue
            seen = [seen[0] + 1, seen[1] + is_landsat(known)]
            name = stac_item.scene_id(known)
            if not query.fits(known) or (name not in taken and len(taken) == query.limit):
                continue
            taken.add(name)
            added = True
            yield item
        # Other items of the scenes taken may be on the next page: USGS has two for each.
        if len(taken) == query.limit and (len(query.collections) == 1 or not added):
            break
    if not taken:
        raise _nothing(query, root, seen, policy)


def _known(item: Any) -> dict[str, Any] | None:
    """What is known of an item; None of what is no item."""
    try:
        return checked_item.checked(item)
    except LandsatDownsampleError:
        return None


# The API -------------------------------------------------------------------------------------


def _root(query: Query, policy: Policy) -> dict[str, Any]:
    root = small_objects.ask(query.url, policy=policy)
    if not isinstance(root, dict) or not _links(root, "search", _below(query)):
        what = f"a STAC {root['type']}" if isinstance(root, dict) and root.get("type") else "something else"
        raise UsageError(
            f"{Location(query.url)!r} is {what} without a search: give the URL of a STAC API, such as "
            "https://planetarycomputer.microsoft.com/api/stac/v1"
        )
    return root


def _below(query: Query) -> str:
    """Where relative hrefs of the API's landing page start."""
    return f"{Location(query.url)}/"


def _links(record: dict[str, Any], rel: str, base: str) -> list[dict[str, Any]]:
    """Links of one kind, their hrefs absolute."""
    found = []
    for link in checked_item.links(record, rel):
        with suppress(ValueError):  # no URL
            found.append(link | {"href": urljoin(base, link["href"])})
            Location.checked(found[-1]["href"])
    return found


def _first(query: Query, root: dict[str, Any]) -> _Request:
    """The request for the first page: by POST where the API offers it, as long questions do not fit in a URL."""
    conforms = root.get("conformsTo")
    body = query.body([one for one in conforms if isinstance(one, str)] if isinstance(conforms, list) else ())
    links = _links(root, "search", _below(query))
    posts = [link for link in links if str(link.get("method", "")).upper() == "POST"]
    href = _same_host((posts or links)[0]["href"], query.url)
    return _Request(href, body) if posts else _by_get(href, body)


def _by_get(href: str, body: dict[str, Any]) -> _Request:
    """The same question in a URL, where lists have commas and objects are JSON."""
    fields = {}
    for name, value in body.items():
        if isinstance(value, list):
            fields[name] = ",".join(map(str, value))
        else:
            fields[name] = json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else value
    parts = urlsplit(href)
    kept = parse_qsl(parts.query, keep_blank_values=True)
    return _Request(urlunsplit(parts._replace(query=urlencode([*kept, *fields.items()]))))


def _same_host(href: str, base: str) -> str:
    """An href that an API gives, which may not lead away from it; APIs behind proxies give http for https."""
    asked, given = urlsplit(base), urlsplit(href)
    if given.scheme not in ("http", "https") or given.hostname != asked.hostname:
        raise ReadError(
            f"{Location(base)!r} leads to another host, {Location(href)!r}: refused; "
            "if you trust that one, give its URL"
        )
    if given.scheme == asked.scheme:
        return href
    return urlunsplit(given._replace(scheme=asked.scheme, netloc=asked.netloc))


# Pages ---------------------------------------------------------------------------------------


def _pages(
    request: _Request | None, query: Query, policy: Policy, progress: _Progress
) -> Iterator[list[tuple[Any, dict[str, Any] | None]]]:
    """Pages of items and what is known of each, every page asked for once."""
    asked: set[str] = set()
    shown: set[bytes] = set()
    empty = 0
    while request is not None:
        if request.identity in asked or len(asked) >= MAX_PAGES:
            raise _circle(query, len(asked))
        if asked:
            progress.check(len(asked))
        asked.add(request.identity)
        page = small_objects.ask(request.href, request.body, policy=policy)
        items = [(item, _known(item)) for item in _items(page, query)]
        names = [[known.get("collection"), known["id"]] for _, known in items if known] or len(asked)
        look = hashlib.sha256(json.dumps(names).encode()).digest()
        empty = 0 if items else empty + 1
        if (items and look in shown) or empty > MAX_EMPTY:
            raise _circle(query, len(asked))
        shown.add(look)
        yield items
        request = _next(page, request, query)


def _items(page: Any, query: Query) -> list[dict[str, Any]]:
    items = page.get("features") if isinstance(page, dict) else None
    if not isinstance(items, list) or (items and not any(map(checked_item.is_item, items))):
        raise ReadError(f"{Location(query.url)!r} answers a search with something else than STAC items")
    return items


def _next(page: dict[str, Any], request: _Request, query: Query) -> _Request | None:
    """The request for the page after one, as its link says; None after the last."""
    links = _links(page, "next", request.href)
    if not links:
        return None
    link = links[0]
    href = _same_host(link["href"], query.url)
    given = link.get("body")
    more = given if isinstance(given, dict) else {}
    if str(link.get("method", "POST" if more else "GET")).upper() != "POST":
        return _Request(href)
    # One without a body is told apart by its URL, and asks the same as before.
    return _Request(href, {**(request.body or {}), **more} if link.get("merge") or not more else more)


def _circle(query: Query, pages: int) -> ReadError:
    return ReadError(
        f"the search of {Location(query.url)!r} goes round in circles: page {pages} leads to one that was "
        "there before; narrow it down, or try another API"
    )


# Nothing -------------------------------------------------------------------------------------


def _nothing(query: Query, root: dict[str, Any], seen: list[int], policy: Policy) -> UsageError:
    """Say why nothing was found: no such collection, no Landsat, or no such scene."""
    items, landsat = seen
    url = Location(query.url)
    known = _collections(query, root, policy) if not items else []
    absent = [name for name in query.collections if known and name not in known]
    if absent:
        ours = [name for name in known if "landsat" in name.lower()]
        return UsageError(f"{url!r} has no collection {', '.join(absent)}: it has {', '.join(ours or known[:8])}")
    if items and not landsat:
        return UsageError(f"collection {', '.join(query.collections)} of {url!r} is not of Landsat")
    why = f"; {items} that came do not fit what was asked" if items else ""
    return UsageError(f"the search of {url!r} found no scene ({query}){why}: widen it")


def _collections(query: Query, root: dict[str, Any], policy: Policy) -> list[str]:
    """Names of the collections that an API has; none where it does not say."""
    places = [link["href"] for link in _links(root, "data", _below(query))] or [f"{_below(query)}collections"]
    try:
        record = small_objects.ask(_same_host(places[0], query.url), policy=policy)
    except ReadError:
        return []
    found = record.get("collections") if isinstance(record, dict) else None
    return [str(one["id"]) for one in found or () if isinstance(one, dict) and one.get("id")]
