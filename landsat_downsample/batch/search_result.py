"""What a STAC search found, to look at and to plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from landsat_downsample.batch.entry import Entry
from landsat_downsample.batch.search_cache import found
from landsat_downsample.batch.stac_query import SEARCH_TIME, Query
from landsat_downsample.model.location import Location
from landsat_downsample.model.log import tell
from landsat_downsample.model.words import count_words, words

#: Scenes that a repr names.
SHOWN = 5


@dataclass(frozen=True, slots=True, repr=False)
class SearchResult:
    """Scenes that a STAC API has: `plan` takes them, all or a slice.

    Examples
    --------
    >>> found = ld.search("https://earth-search.aws.element84.com/v1", "landsat-c2-l2", datetime="2023")
    >>> found.ids, len(found.items)
    (['LC08_L2SP_192028_20230714_20230724_02_T1'], 1)
    >>> plans = ld.plan(found[:10], "out", factor=10)
    """

    query: Query
    entries: tuple[Entry, ...]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int | slice) -> SearchResult:
        part = self.entries[index] if isinstance(index, slice) else (self.entries[index],)
        return SearchResult(self.query, part)

    def __iter__(self) -> Iterator[SearchResult]:
        return (self[number] for number in range(len(self)))

    @property
    def ids(self) -> list[str]:
        """Product IDs."""
        return [entry.label for entry in self.entries]

    @property
    def items(self) -> list[dict[str, Any]]:
        """STAC items, cut down to what opening a scene needs; USGS has two for a scene."""
        return [item for entry in self.entries for item in entry.items]

    def __repr__(self) -> str:
        asked = f"{', '.join(self.query.collections)} at {Location(self.query.url)!r}"
        more = f"\n  ... {len(self) - SHOWN} more" if len(self) > SHOWN else ""
        names = "".join(f"\n  {name}" for name in self.ids[:SHOWN])
        return f"<SearchResult: {count_words(len(self), 'scene')} of {asked}>{names}{more}"


def search(
    url: str,
    collections: str | tuple[str, ...] | list[str],
    *,
    bbox: tuple[float, float, float, float] | None = None,
    datetime: str | None = None,
    path_row: str | tuple[str, ...] | list[str] = (),
    cloud_cover: float | None = None,
    tier: str | None = None,
    limit: int | None = None,
    search_time: float = SEARCH_TIME,
) -> SearchResult:
    """Search a STAC API for Landsat scenes.

    Parameters
    ----------
    url : str
        Of the API: ``https://earth-search.aws.element84.com/v1``.
    collections : str or sequence of str
        Their names there, such as ``landsat-c2-l2``; of USGS ``landsat-c2l2-sr,landsat-c2l2-st``.
    bbox : (float, float, float, float), optional
        (west, south, east, north) in degrees; west > east crosses the antimeridian.
    datetime : str, optional
        A date or range: ``2023-07-14``, ``2023-06-01/2023-08-31``.
    path_row : str or sequence of str, optional
        Of the WRS-2 grid, such as ``192/028``; any of these.
    cloud_cover : float, optional
        Percent of cloud at most.
    tier : str, optional
        ``T1``, ``T2`` or ``RT``.
    limit : int, optional
        Scenes at most.
    search_time : float
        Seconds after which a search that is not at its end is given up.

    Returns
    -------
    SearchResult
        What `plan` takes: a slice of it too.

    Raises
    ------
    UsageError
        It is no STAC API or has no such collection, something asked makes no sense, or nothing is found.
    ReadError
        The API does not answer, or the search does not come to its end.

    Examples
    --------
    >>> found = ld.search("https://earth-search.aws.element84.com/v1", "landsat-c2-l2",
    ...                   path_row="192/028", datetime="2023-06/2023-08", cloud_cover=90)
    >>> found.ids
    ['LC08_L2SP_192028_20230714_20230724_02_T1']
    """
    query = Query(
        url=url,
        collections=words(collections),
        bbox=bbox,
        datetime=datetime,
        path_row=words(path_row),
        cloud_cover=cloud_cover,
        tier=tier,
        limit=limit,
        search_time=search_time,
    )
    return SearchResult(query, tuple(found(query, report=lambda line: tell("search", line))))
