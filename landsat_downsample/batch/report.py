"""The report of a run: one page with all that it needs inside, for people who were not there."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from landsat_downsample import __version__
from landsat_downsample.batch.failure_groups import GROUPS, Causes
from landsat_downsample.batch.record import REPORT, dest_of
from landsat_downsample.batch.report_chart import STATUSES, Bins, Ended, cut, draw
from landsat_downsample.batch.report_gallery import MOST, Card, cards, evenly, relative
from landsat_downsample.batch.runs import of_run, outcomes_of
from landsat_downsample.batch.status import Status
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.safe_text import plain
from landsat_downsample.model.words import count_words, duration_words, grouped, size_words
from landsat_downsample.storage import small_objects

#: Rows of the table of scenes that took longest.
SLOWEST = 20

#: Widths of the drawing, in pixels, with the bins of time in it: for a desk, and for a phone.
DRAWINGS = ((904, 120), (360, 40))

_TEMPLATE = "report.html.jinja"


@dataclass(frozen=True, slots=True)
class Slow:
    """A row of the table of scenes that took longest."""

    id: str
    link: str | None
    status: str
    seconds: str
    read: str


@dataclass(slots=True)
class Findings:
    """What the outcomes of a run add up to; read in one pass, and little of each kept: a run may have a million."""

    counts: Counter[str] = field(default_factory=Counter)
    bytes_in: int = 0
    seconds: float = 0.0
    """Second of the run in which its last scene ended."""
    ended: Ended = field(default_factory=Ended)
    causes: Causes = field(default_factory=Causes)
    products: int = 0
    """Those that are there."""
    longest: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)
    """Heap of (seconds, minus what came before, record): of equal ones the first is kept."""

    def take(self, record: dict[str, Any]) -> None:
        """Count one outcome; what is not as it should be counts as nothing."""
        status = record.get("status")
        if status not in STATUSES:
            return
        ended, took, size = (_number(record.get(name)) for name in ("ended", "seconds", "bytes_in"))
        if status != "skipped":
            add = heapq.heappush if len(self.longest) < SLOWEST else heapq.heappushpop
            add(self.longest, (took, -self.counts.total(), record))
        self.counts[status] += 1
        self.bytes_in += int(size)
        self.seconds = max(self.seconds, ended)
        self.ended.add(ended, took, size, status)
        if status == "failed":
            self.causes.add(record)
        self.products += _has_product(record)

    @property
    def slowest(self) -> list[Slow]:
        """The scenes that took longest, those first."""
        return [
            Slow(
                plain(record.get("id"), 200),
                relative(record["href"]) if isinstance(record.get("href"), str) else None,
                record["status"],
                duration_words(seconds),
                size_words(_number(record.get("bytes_in"))),
            )
            for seconds, _, record in sorted(self.longest, reverse=True)
        ]


def _has_product(record: dict[str, Any]) -> bool:
    return record.get("status") in ("done", "skipped") and isinstance(record.get("href"), str)


def _number(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e15:
        return float(value)
    return 0.0


def findings(records: Iterable[dict[str, Any]]) -> Findings:
    """Add up the outcomes of a run."""
    found = Findings()
    for record in records:
        found.take(record)
    return found


def chosen(records: Iterable[dict[str, Any]], products: int) -> list[tuple[str, str]]:
    """Choose products that are shown, evenly over the run: (scene ID, href of the item)."""
    wanted = set(evenly(range(products), MOST))
    there = enumerate(record for record in records if _has_product(record))
    return [(str(record.get("id")), record["href"]) for number, record in there if number in wanted]


def write_report(run_folder: str) -> str:
    """Write the report of a run beside its record; of one in parts, one page for all of them.

    Parameters
    ----------
    run_folder : str
        ``DEST/_runs/<run id>``, from `record.find_run`.

    Returns
    -------
    str
        Href of the page.

    Raises
    ------
    ReadError
        The record cannot be read.
    WriteError
        The page cannot be written.
    """
    policy = Policy.from_environ()
    location = Location(run_folder) / REPORT
    small_objects.put(location, page(run_folder, policy=policy).encode(), policy=policy)
    return location.href


def page(run_folder: str, *, policy: Policy | None = None) -> str:
    """Make the page of a run from its record and the products that it points to."""
    policy = policy or Policy.from_environ()
    status = of_run(run_folder)
    found = findings(outcomes_of(run_folder, policy=policy))
    products = chosen(outcomes_of(run_folder, policy=policy), found.products)
    return render(status, found, cards(products, dest_of(run_folder), policy=policy))


def render(status: Status, found: Findings, gallery: list[Card]) -> str:
    """Fill the template; every text that comes from outside is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"grouped": grouped, "breakable": _breakable}
    text = resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    groups = found.causes.grouped()
    bins = [cut(found.ended, status.seconds, most) for _, most in DRAWINGS]
    return environment.from_string(text).render(
        status=status,
        counts={name: found.counts[name] for name in STATUSES},
        heading=_heading(status, found),
        summary=_summary(status, found),
        options=_rows(status.options),
        drawings=[draw(part, width) for part, (width, _) in zip(bins, DRAWINGS, strict=True) if part is not None],
        speech=_speech(found, bins[0]),
        causes=groups[:GROUPS],
        causes_left=len(groups) - GROUPS,
        gallery=gallery,
        products=found.products,
        slow=found.slowest,
        maker=__version__,
    )


def _breakable(text: str) -> str:
    """Let a long name break after its underscores; escaped."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in text.split("_"))


def _heading(status: Status, found: Findings) -> str:
    good, ended = found.counts["done"] + found.counts["skipped"], found.counts.total()
    total = max(status.total or 0, ended)
    words = count_words(total, "scene")
    if good == total:
        return f"All {words} done" if total != 1 else "The scene is done"
    parts = [f"{grouped(good)} of {words} done"]
    parts += [f"{grouped(found.counts['failed'])} failed"] if found.counts["failed"] else []
    parts += [f"{grouped(total - ended)} not reached"] if total > ended else []
    return ", ".join(parts)


def _summary(status: Status, found: Findings) -> list[tuple[str, str]]:
    """Name and value of each figure at the top of the page."""
    seconds = max(status.seconds, found.seconds)
    read = max(status.bytes_in, found.bytes_in)
    rate = f"{size_words(read / seconds)}/s" if seconds else None
    reduced = found.counts["done"] + found.counts["failed"]
    pace = f"{grouped(round(3600 * reduced / seconds))} an hour" if seconds and reduced else None
    bands = f"{grouped(status.bands_done)}" + (
        f" of {grouped(status.bands_known)} begun" if status.bands_known > status.bands_done else ""
    )
    rows = (
        ("Begun", status.begun and f"{status.begun[:16].replace('T', ' ')} UTC"),
        ("Took", duration_words(seconds)),
        ("Bands reduced", bands),
        ("Read", size_words(read)),
        ("Written", size_words(status.bytes_out)),
        ("Mean rate of reading", rate),
        ("Scenes reduced", pace),
        ("Workers", workers_words(status)),
        ("State", f"{status.state}: {status.reason}" if status.reason else status.state * (status.state != "ended")),
        ("landsat-downsample", status.version),
    )
    return [(name, value) for name, value in rows if value]


def workers_words(status: Status) -> str | None:
    """Say how many workers a run had, and how many of them it lost."""
    most = status.workers if status.workers_most is None else status.workers_most
    lost = f", {grouped(status.workers_lost)} lost" if status.workers_lost else ""
    return None if most is None else f"{grouped(most)}{lost}"


def _rows(options: dict[str, Any]) -> list[tuple[str, str]]:
    """Options that were given, as text."""
    given = ((name, value) for name, value in options.items() if value not in (None, "", [], {}, False))
    return [(plain(name, 60), plain(_words(value), 400)) for name, value in given]


def _words(value: object) -> str:
    if isinstance(value, dict):
        if "lattice" in value:  # a grid that was given by another raster
            return _words(value["name"])
        return ", ".join(f"{name}={_words(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return "yes" if value is True else f"{value}"


def _speech(found: Findings, bins: Bins | None) -> str:
    """Say what the drawing shows, for who does not see it."""
    if bins is None:
        return ""
    fastest = int(bins.rates.argmax())
    return (
        f"Over {duration_words(bins.seconds)}, {size_words(found.bytes_in)} were read; at most "
        f"{size_words(float(bins.rates.max()))}/s, {duration_words(fastest * bins.width)} after the beginning. "
        + ", ".join(f"{found.counts[name]} scenes {name}" for name in STATUSES)
        + "."
    )
