"""How far a run is, by one record: on another machine, while it goes on, after it was killed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from landsat_downsample.batch.record import machine_mark, part_number, read_status, run_id_of
from landsat_downsample.model.inner_hosts import host_name, is_this_machine
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.safe_text import plain

#: Seconds without a heartbeat after which a run is taken for dead, and how many are missed by then at least.
SILENCE, MISSED = 60.0, 12


@dataclass(frozen=True, slots=True, repr=False)
class Status:
    """What a run said of itself with its last heartbeat.

    Examples
    --------
    >>> outcomes = ld.run(ld.plan(scene, "out", factor=10, bands="red"), record=True)
    >>> status = ld.status("out")
    >>> status.done, status.failed, status.at_work, status.silent, status.exit_code
    (1, 0, False, False, 0)
    >>> sorted(status.to_dict()["options"])[:3]
    ['anchor', 'bands', 'bounds']
    """

    id: str
    href: str
    """Folder of its record."""
    state: str
    """``running``, ``stopping``, ``ended``, ``failed`` (it broke off), or ``unknown`` before its first heartbeat."""
    reason: str | None = None
    """Why it broke off."""
    begun: str | None = None
    """UTC time in RFC 3339."""
    seconds: float = 0.0
    """From its beginning to its last heartbeat."""
    age: float | None = None
    """Seconds since its last heartbeat, by this machine's clock."""
    every: float = 5.0
    """Seconds between two heartbeats."""
    total: int | None = None
    """Scenes asked for."""
    done: int = 0
    skipped: int = 0
    failed: int = 0
    in_hand: int = 0
    bands_done: int = 0
    bands_known: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    rate: float = 0.0
    """Bytes read a second, over the last minute."""
    eta: float | None = None
    """Seconds left at the pace so far."""
    workers: int | None = None
    workers_most: int | None = None
    """That a cluster had at one time."""
    workers_lost: int | None = None
    """That died; one that was retired does not count."""
    dashboard: str | None = None
    """None on another machine than the run's, where its address would lead to that machine itself."""
    version: str | None = None
    failures: tuple[dict[str, Any], ...] = ()
    """The last ones: ``id``, ``cause``, ``error``."""
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    tiles: bool = False
    """Whether a product was made for each tile that a scene meets."""
    overwrite: bool = False
    """Whether products that were made otherwise were replaced."""
    requester_pays: bool = False
    """Whether its readers had agreed to pay."""
    listed: int | None = None
    """Of a part: the scenes of the whole list."""
    parts: tuple[Status, ...] = ()
    """Of a run in parts: the records that tell its state; one of all parts (a retry) comes first, then by number."""
    missing: tuple[int, ...] = ()
    """Of a run in parts: the numbers of those that have scenes and have not begun."""

    def __repr__(self) -> str:
        done = f"{self.done + self.skipped}{'' if self.total is None else f' of {self.total}'} scenes done"
        seen = f", no heartbeat for {self.age or 0:.0f} s" if self.silent else ""
        return f"<Status {self.id}: {self.state}{seen}, {done}, {self.failed} failed>"

    @property
    def at_work(self) -> bool:
        """Whether it is to send heartbeats."""
        return self.state not in ("ended", "failed")

    @property
    def silent(self) -> bool:
        """Whether it should have sent a heartbeat, and has not."""
        return self.at_work and (self.age is None or self.age > max(SILENCE, MISSED * self.every))

    @property
    def exit_code(self) -> int:
        """0 at work or ended well, 3 ended with scenes missing, 1 without any success or dead."""
        if self.at_work:
            return 1 if self.silent else 0
        good = self.done + self.skipped
        if self.state == "ended" and not self.failed and self.total in (None, good):
            return 0
        return 3 if good else 1

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        facts = asdict(replace(self, parts=())) | {"silent": self.silent, "part": part_number(self.id)}
        return facts | {"failures": list(self.failures), "parts": [part.to_dict() for part in self.parts]}


def of_folder(folder: str, policy: Policy) -> Status:
    """Tell how far a run is by the record in a folder.

    Raises
    ------
    ReadError
        The record cannot be read.
    """
    record = read_status(folder, policy=policy)
    if record is None:
        return Status(run_id_of(folder), plain(folder), "unknown", age=_age_of(folder))
    return from_record(record, folder)


def from_record(record: dict[str, Any], folder: str, now: datetime | None = None) -> Status:
    """Read the JSON of a heartbeat; what is not as it should be is left out, not believed."""
    scenes, bands, sizes = (_part(record.get(name)) for name in ("scenes", "bands", "bytes"))
    alive = moment(record.get("alive"))
    age = None if alive is None else max(0.0, ((now or datetime.now(UTC)) - alive).total_seconds())
    return Status(
        id=run_id_of(folder),
        href=plain(folder),
        state=_one_of(record.get("state"), ("running", "stopping", "ended", "failed")),
        reason=_text(record.get("reason")),
        begun=_text(record.get("begun")),
        seconds=_number(record.get("seconds")) or 0.0,
        age=age,
        every=_number(record.get("every")) or 5.0,
        total=_known(scenes.get("total")),
        done=_count(scenes.get("done")),
        skipped=_count(scenes.get("skipped")),
        failed=_count(scenes.get("failed")),
        in_hand=_count(scenes.get("in_hand")),
        bands_done=_count(bands.get("done")),
        bands_known=_count(bands.get("known")),
        bytes_in=_count(sizes.get("in")),
        bytes_out=_count(sizes.get("out")),
        rate=_number(record.get("rate")) or 0.0,
        eta=_number(record.get("eta")),
        workers=_known(record.get("workers")),
        workers_most=_known(record.get("workers_most")),
        workers_lost=_known(record.get("workers_lost")),
        dashboard=_dashboard(record, folder),
        version=_text(record.get("version")),
        failures=_failures(record.get("failures")),
        options=_part(record.get("options")),
        tiles=record.get("tiles") is True,
        overwrite=record.get("overwrite") is True,
        requester_pays=record.get("requester_pays") is True,
        listed=_known(_part(record.get("part")).get("scenes")),
    )


def _dashboard(record: dict[str, Any], folder: str) -> str | None:
    link = _text(record.get("dashboard"))
    here = record.get("machine") == machine_mark(run_id_of(folder))
    return link if here or not link or not is_this_machine(host_name(Location(link))) else None


def _age_of(folder: str) -> float | None:
    """Seconds since a run that has not said anything began, by its name."""
    begun = datetime.strptime(run_id_of(folder)[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return max(0.0, (datetime.now(UTC) - begun).total_seconds())


def moment(value: object) -> datetime | None:
    """Read a time with its zone; None of anything else."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo else None


def _one_of(value: object, names: tuple[str, ...]) -> str:
    return value if value in names else "unknown"


def _part(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return plain(value) if isinstance(value, str) else None


def _number(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e18:
        return float(value)
    return None


def _count(value: object) -> int:
    return int(_number(value) or 0)


def _known(value: object) -> int | None:
    return None if _number(value) is None else _count(value)


def _failures(value: object) -> tuple[dict[str, Any], ...]:
    found = [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []
    return tuple({name: _text(part.get(name)) for name in ("id", "cause", "error")} for part in found)
