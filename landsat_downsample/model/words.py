"""Sizes and times in words for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from landsat_downsample.errors import UsageError

KIB = 1024


def size_words(count: float) -> str:
    """Bytes for people.

    >>> size_words(70_254_592)
    '67.0 MiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < KIB or unit == "TiB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= KIB
    raise AssertionError


def duration_words(seconds: float) -> str:
    """Seconds for people.

    >>> duration_words(0.42), duration_words(192), duration_words(7500), duration_words(100_000)
    ('0.4 s', '3 min 12 s', '2 h 05 min', '1 d 3 h')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if minutes == 0:
        return f"{rest} s"
    if hours == 0:
        return f"{minutes} min {rest:02d} s"
    if hours < 24:
        return f"{hours} h {minutes_left:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def count_words(count: int, noun: str) -> str:
    """A number with its noun.

    >>> count_words(1, "scene"), count_words(12_000, "band")
    ('1 scene', '12 000 bands')
    """
    return f"{grouped(count)} {noun}{'' if count == 1 else 's'}"


def part_words(number: int, total: int) -> str:
    """Which tenth of a run its scene of that number, from 0 on, is in; of a few scenes which one.

    No more than the 15 signs that dask's progress shows.

    >>> part_words(61, 500), part_words(499, 500), part_words(2, 7)
    ('run 10 to 20%', 'run 90 to 100%', 'scene 3 of 7')
    """
    tenth = 10 * number // total
    return f"scene {number + 1} of {total}" if total <= 10 else f"run {tenth}0 to {tenth + 1}0%".replace(" 00 ", " 0 ")


def grouped(count: int) -> str:
    """A number with a space between thousands, from five digits on.

    >>> grouped(3800), grouped(12_000)
    ('3800', '12 000')
    """
    return f"{count:,}".replace(",", " ") if count >= 10_000 else str(count)


def words(given: str | Iterable[str] | None, *, empty: bool = False) -> tuple[str, ...]:
    """Names given as one list with commas, or as several words; those that are `empty` too, for who refuses them.

    Raises
    ------
    UsageError
        It is neither.

    Examples
    --------
    >>> words("cloud, shadow,"), words(None)
    (('cloud', 'shadow'), ())
    """
    parts = given.split(",") if isinstance(given, str) else () if given is None else given
    parts = tuple(parts) if isinstance(parts, Iterable) else (parts,)
    if not all(isinstance(part, str) for part in parts):
        raise UsageError(f"{given!r} is no list of names: give them as 'one,other' or ['one', 'other']")
    return tuple(part.strip() for part in parts if empty or part.strip())


def names_or_all(given: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Names as of `words`; None, which means all, of None and of the word ``all``.

    Raises
    ------
    UsageError
        ``all`` stands beside others.

    Examples
    --------
    >>> names_or_all("red, nir08"), names_or_all("all"), names_or_all(None)
    (('red', 'nir08'), None, None)
    """
    names = None if given is None else words(given, empty=True)
    if names and "all" in names:
        if len(names) > 1:
            raise UsageError(f"{','.join(names)!r}: all is given alone, or left out, which means the same")
        return None
    return names
