"""Remote objects read so that nothing wrong passes: every length, identity and checksum is compared."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from landsat_downsample.errors import ReadError
from landsat_downsample.formats import tiff
from landsat_downsample.formats.multihash import parse_multihash
from landsat_downsample.formats.tiff_layout import TiffLayout
from landsat_downsample.model.family import HrefRule, access_rule
from landsat_downsample.model.location import WEB, Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import header_cache, signing, transport
from landsat_downsample.storage.fetch_request import (
    HEADER,
    HEADER_LIMIT,
    HEADER_PARTS,
    MAX_SPANS,
    PARTIAL,
    WORTHWHILE,
    FetchRequest,
    PixelWindow,
)
from landsat_downsample.storage.filesystems import forget_keys
from landsat_downsample.storage.header_cache import Header
from landsat_downsample.storage.retry import Fault, Mismatch, RetryBudget, classify
from landsat_downsample.storage.sinks import WHOLE_LIMIT, BytesSink, CountingSink, FileSink, HashSink
from landsat_downsample.storage.transport import HttpResponse, Span

T = TypeVar("T")


class HeaderTooLarge(Exception):
    """Directories are scattered over more of the file than is worth fetching apart."""


class _Missing(Exception):
    def __init__(self, offset: int, length: int) -> None:
        super().__init__(offset, length)
        self.offset, self.length = offset, length


@dataclass(slots=True)
class Remote:
    """One remote object during one operation."""

    request: FetchRequest
    policy: Policy = field(init=False)
    size: int | None = field(init=False)
    """Bytes it must have; learnt from the first answer if not known before."""
    etag: str | None = field(init=False)
    """Identity it must keep; learnt from the first answer if not known before."""
    checksum: tuple[str, str] | None = field(init=False)
    retry_budget: RetryBudget = field(init=False)
    requests: int = 0
    received: int = 0
    """Bytes of all answers, failed ones too."""
    resigned: bool = False
    compared: bool = False
    """Whether the checksums that the blocks carry themselves were compared."""

    def __post_init__(self) -> None:
        self.policy = self.request.policy or Policy.from_environ()
        self.size, self.etag = self.request.size, self.request.etag
        self.checksum = parse_multihash(self.request.checksum)
        self.retry_budget = RetryBudget(self.policy)

    @property
    def location(self) -> Location:
        """Where it is."""
        return self.request.location

    def persist(self, attempt: Callable[[], T]) -> T:
        """Repeat an attempt within the budget; what was learnt of the object is forgotten in between."""
        size, etag = self.size, self.etag

        def once(_: float) -> T:
            self.size, self.etag = size, etag
            return attempt()

        return self.retry_budget.call(f"cannot read {self.location!r}", once)

    def get(self, span: Span | None, sink: CountingSink) -> HttpResponse:
        """Make one request and compare the object's size and identity with what is known of it."""
        self.requests += 1
        signed, before = self.signed(), sink.count
        try:
            seconds = self.retry_budget.left
            answer = transport.get(signed, span, sink, policy=self.policy, etag=self.etag, seconds=seconds)
        except ReadError as error:
            raise ReadError(f"cannot read {self.location!r}: {error}") from None
        except Exception as error:
            judged = self.judge(error, signed)
            if judged is error:
                raise
            raise judged from None
        finally:
            self.received += max(0, sink.count - before)
        if self.size is not None and answer.size not in (None, self.size):
            # Retryable: a store that lost the end of one answer gives consistent, wrong lengths.
            raise Mismatch(f"it has {answer.size} bytes where {self.size} were expected; if it was changed, plan again")
        if self.etag and answer.etag and answer.etag != self.etag:
            raise self._changed()
        self.size = answer.size if self.size is None else self.size
        self.etag = self.etag or answer.etag
        self.retry_budget.allow(self.size or 0)
        return answer

    def signed(self) -> Location:
        """Add a token where it needs one."""
        # The service is named here, by nobody else.
        rest = replace(self.policy, budget=self.retry_budget.left, led=False)
        return signing.sign(
            self.location, lambda url: read_whole(Remote(FetchRequest(url, policy=rest)), 1 << 16, stable=False)
        )

    def judge(self, error: Exception, signed: Location) -> Exception:
        """Say what an error means for this object: changed, to be signed anew, or just itself."""
        fault = classify(error)
        if fault.status == 412:
            return self._changed()
        if fault.status == 403 and signed != self.location and not self.resigned:
            self.resigned = True
            signing.forget(self.location, signed)
            return Mismatch("its signature was refused")
        if (rule := access_rule(self.location.href)) and rule.keys:
            return self._judge_keys(error, fault, rule)
        return error

    def _judge_keys(self, error: Exception, fault: Fault, rule: HrefRule) -> Exception:
        if "Token" in fault.reason and not self.resigned:
            self.resigned = True
            forget_keys(self.location, self.policy)
            return Mismatch("its temporary keys were refused")
        if fault.status == 403:
            web = rule.keys.rpartition("/")[0]
            return ReadError(
                f"cannot read {self.location!r}: access denied: the keys of an Earthdata login are good inside of "
                f"{rule.region} alone; elsewhere give hrefs of {web}"
            )
        return error

    def _changed(self) -> ReadError:
        return ReadError(f"cannot read {self.location!r}: it was changed since it was first looked at; plan again")

    def prove(self, answer: HttpResponse, sink: FileSink | BytesSink) -> bool:
        """Compare every digest known of a whole object; return whether there was any.

        Raises
        ------
        Mismatch
            If one differs.
        """
        known = answer.digests + ((self.checksum,) if self.checksum else ())
        for name, digest in known:
            if sink.digest(name) != digest:
                raise Mismatch(f"its bytes do not have its {name} checksum")
        return bool(known) or answer.checked


def read_whole(remote: Remote, limit: int, *, stable: bool = True) -> bytes:
    """Read a small object; over a bare connection without any digest, twice, and both must agree.

    An answer that is not ``stable`` is new each time, and read once.
    """

    def attempt() -> bytes:
        sink = BytesSink(limit)
        answer = remote.get(None, sink)
        if not remote.prove(answer, sink) and not answer.sealed and stable:
            again = BytesSink(limit + 1)
            # As a range, and one byte longer: its total shows a body that was cut the same way twice.
            remote.get((0, sink.count + 1) if sink.count else None, again)
            if again.data() != sink.data():
                raise Mismatch("two reads gave different bytes")
        return sink.data()

    return remote.persist(attempt)


@dataclass(slots=True)
class _Segments:
    """The pieces of a file fetched so far."""

    parts: list[tuple[int, bytes]] = field(default_factory=list)
    size: int = 0
    """Bytes of the whole file; known with the first piece."""
    proven: bool = False
    """Whether the first piece is the whole file, and a digest of the store's was compared."""

    def read(self, offset: int, length: int) -> bytes:
        for start, data in self.parts:
            if start <= offset and offset + length <= start + len(data):
                return data[offset - start : offset - start + length]
        raise _Missing(offset, length)

    @property
    def total(self) -> int:
        return sum(len(data) for _, data in self.parts)

    @property
    def whole(self) -> bool:
        """Whether the first piece is all of the file, as of small ones."""
        return len(self.parts[0][1]) == self.size


def _read_header(remote: Remote) -> tuple[_Segments, TiffLayout, HttpResponse]:
    """Fetch the directories of a TIFF and check its layout; give too what the store said."""
    segments = _Segments()
    answer = _add(remote, segments, (0, HEADER))
    while True:
        try:
            layout = tiff.check_complete(segments.read, segments.size)
            for offset, length in layout.parts:
                segments.read(offset, length)
            return segments, layout, answer
        except _Missing as gap:
            if segments.total + gap.length > HEADER_LIMIT or len(segments.parts) >= HEADER_PARTS or not answer.ranged:
                raise HeaderTooLarge from None
            _add(remote, segments, (gap.offset, gap.offset + max(gap.length, HEADER)))
        except ReadError as error:
            raise _damaged(remote, segments.read(0, min(16, segments.total)), error) from error


def _damaged(remote: Remote, head: bytes, error: ReadError) -> Exception:
    """A damaged header may arrive right the next time; a web page will not become a TIFF."""
    if tiff.describe(head).startswith(("it is a web", "it is XML", "it is empty")):
        return ReadError(f"cannot read {remote.location!r}: {error}")
    return Mismatch(str(error))


def _add(remote: Remote, segments: _Segments, span: Span) -> HttpResponse:
    sink = BytesSink(span[1] - span[0])
    answer = remote.get(span, sink)
    if remote.size is None:
        raise HeaderTooLarge
    if len(segments.parts) == 0 and sink.count == remote.size:
        segments.proven = remote.prove(answer, sink)
    segments.size = remote.size
    segments.parts.append((span[0], sink.data()))
    return answer


def spill_header(remote: Remote, handle: int) -> TiffLayout:
    """Write the parts that describe a TIFF into an empty file of its full size.

    Over a bare connection they are read twice where no checksum guards them: a store's is of the whole object, and
    guards one that is no larger than a header. They are kept for `spill_band`, with all of such an object. Where they
    lie scattered, the file gets the whole object.

    Raises
    ------
    ReadError
        If it is no TIFF, is cut, or cannot be read.
    """

    def attempt() -> TiffLayout:
        try:
            segments, layout, answer = _read_header(remote)
            if not (answer.sealed or segments.proven) and _read_header(remote)[0].parts != segments.parts:
                raise Mismatch("two reads of its header gave different bytes")
            _keep(remote, segments, layout, replace(answer, sealed=True))
        except HeaderTooLarge:
            return _attempt_whole(remote, handle)
        _write(segments, handle)
        return layout

    return remote.persist(attempt)


def _keep(remote: Remote, segments: _Segments, layout: TiffLayout, answer: HttpResponse) -> None:
    """Keep a header for who reads the band; `answer` is sealed where the bytes are as the store has them."""
    if answer.ranged or segments.whole:
        whole = answer if segments.whole else None
        found = Header(segments.parts, layout, segments.size, remote.requests, remote.received, whole)
        header_cache.keep(remote.location, remote.etag, found)


def _write(segments: _Segments, handle: int) -> None:
    os.ftruncate(handle, 0)
    os.ftruncate(handle, segments.size)
    for offset, data in segments.parts:
        FileSink(handle, offset)(data)


def spill_band(remote: Remote, handle: int) -> TiffLayout:
    """Write full-resolution bytes of a TIFF into an empty file of its full size, and verify them.

    Two requests (one where `spill_header` read the header) where the full-resolution blocks
    lie in one run and each carries its own checksum (a USGS COG), else the whole object. Where a
    window is asked for, only the blocks under it.

    Raises
    ------
    ReadError
        If it is no TIFF, is cut, damaged, changed, or cannot be read.
    """
    return persist_band(remote, lambda: complete_band(remote, handle, begin_band(remote, handle)))


def persist_band(remote: Remote, attempt: Callable[[], T]) -> T:
    """As `Remote.persist`, and what was known of the header is forgotten with all else."""

    def once() -> T:
        etag = remote.etag
        try:
            return attempt()
        except Mismatch:
            header_cache.forget(remote.location, etag)
            raise

    return remote.persist(once)


@dataclass(frozen=True, slots=True)
class Begun:
    """A band of which only the header is there."""

    layout: TiffLayout
    spans: list[Span]
    """What lacks."""
    blocks: np.ndarray | None
    """Which blocks lie in it; None: all of full resolution."""


def begin_band(remote: Remote, handle: int) -> Begun | None:
    """Write the header of a TIFF into an empty file of its full size; None where it must come whole."""
    window = remote.request.window
    if remote.checksum and not window:  # a checksum of the whole says nothing of a part
        return None
    try:
        segments, layout, ranged = _header(remote)
    except HeaderTooLarge:
        return None
    if segments.whole:
        return None
    spans, blocks = _worthwhile_spans(layout, segments, window) if ranged else ([], None)
    if not spans and blocks is None:
        return None
    _write(segments, handle)
    return Begun(layout, spans, blocks)


def complete_band(remote: Remote, handle: int, begun: Begun | None) -> TiffLayout:
    """Fetch what lacks of a band, and verify it."""
    if begun is None:
        return _attempt_whole(remote, handle)
    for span in begun.spans:
        remote.get(span, FileSink(handle, span[0]))
    compare_blocks(remote, FileSink(handle), begun.layout, begun.blocks)
    return begun.layout


def _header(remote: Remote) -> tuple[_Segments, TiffLayout, bool]:
    """Segments, layout, and whether ranges are honoured: as known since the scene was opened, else read."""
    cached = header_cache.find(remote.location, remote.etag, remote.size)
    if cached is None:
        segments, layout, answer = _read_header(remote)
        if segments.whole:
            _keep(remote, segments, layout, answer)
        return segments, layout, answer.ranged
    _claim(remote, cached)
    return _Segments(list(cached.parts), cached.size), cached.layout, True


def _claim(remote: Remote, cached: Header) -> None:
    requests, received = cached.claim()
    remote.requests, remote.received = remote.requests + requests, remote.received + received
    remote.size = cached.size


def _worthwhile_spans(
    layout: TiffLayout, segments: _Segments, window: PixelWindow | None
) -> tuple[list[Span], np.ndarray | None]:
    """What to fetch instead of the whole object, and which blocks are in it (None: all)."""
    image = layout.directories[0]
    run = _worthwhile_run(layout, segments)
    if window and tiff.verifiable(image):
        blocks = tiff.blocks_under(image, window)
        spans = tiff.spans_of(image, blocks, layout.trailer)
        if len(spans) <= MAX_SPANS and sum(stop - start for start, stop in spans) < PARTIAL * segments.size:
            return spans, blocks
    return ([run] if run else []), None


def _worthwhile_run(layout: TiffLayout, segments: _Segments) -> Span | None:
    run = tiff.full_resolution_run(layout)
    if run is None or not tiff.verifiable(layout.directories[0]):
        return None
    return run if run[1] - run[0] + segments.total < WORTHWHILE * segments.size else None


def _attempt_whole(remote: Remote, handle: int) -> TiffLayout:
    if (remote.size or 0) > WHOLE_LIMIT:
        raise ReadError(f"cannot read {remote.location!r}: its {remote.size} bytes are too many for a Landsat band")
    os.ftruncate(handle, 0)
    sink = FileSink(handle)
    cached = header_cache.find(remote.location, remote.etag, remote.size)
    if cached and cached.whole:
        _claim(remote, cached)
        sink(cached.parts[0][1])
        answer = cached.whole
    else:
        answer = remote.get(None, sink)
    proven = remote.prove(answer, sink)
    try:
        layout = tiff.check_complete(sink.read, sink.count)
    except ReadError as error:
        raise _damaged(remote, sink.read(0, 16), error) from error
    if proven:  # as it was stored, which may be after it was damaged
        return layout
    if tiff.verifiable(layout.directories[0]):
        compare_blocks(remote, sink, layout)
    elif not answer.sealed:
        _compare_again(remote, sink)
    return layout


def compare_blocks(remote: Remote, sink: FileSink, layout: TiffLayout, blocks: np.ndarray | None = None) -> None:
    """Compare the checksums that the blocks of full resolution carry, all or some; a `Mismatch` if one differs."""
    try:
        tiff.check_blocks(sink.read, layout.directories[0], blocks)
    except ReadError as error:
        raise Mismatch(str(error)) from error
    remote.compared = True


def _compare_again(remote: Remote, sink: FileSink) -> None:
    """Read once more and compare: nothing else can show a flipped bit in bare, unsealed bytes."""
    again = HashSink()
    remote.get(None, again)
    if again.state.hexdigest() != sink.digest("sha256"):
        raise Mismatch("two reads gave different bytes")


def exists(location: Location, policy: Policy) -> bool:
    """Tell whether there is an object, or anything under a prefix."""
    remote = Remote(FetchRequest(location, policy=policy))

    def attempt(seconds: float) -> bool:
        signed = remote.signed()
        try:
            transport.head(signed, policy=policy, seconds=seconds)
        except Exception as error:
            status = classify(error).status
            if status == 404:
                return _is_prefix(location, policy, seconds)
            if status in (405, 501):
                return transport.get(signed, (0, 1), len, policy=policy, etag=None, seconds=seconds) is not None
            judged = remote.judge(error, signed)
            if judged is error:
                raise
            raise judged from None
        return True

    return remote.retry_budget.call(f"cannot look for {location!r}", attempt)


def _is_prefix(location: Location, policy: Policy, seconds: float) -> bool:
    if location.kind in WEB:
        return False
    try:
        return bool(transport.listing(location, deep=False, policy=policy, seconds=seconds))
    except FileNotFoundError:
        return False


def list_names(location: Location, policy: Policy) -> list[str]:
    """List the plain names of the objects directly under a prefix, or linked from a web folder."""
    retry_budget = RetryBudget(policy)

    def attempt(seconds: float) -> list[str]:
        found = transport.listing(location, deep=False, policy=policy, seconds=seconds)
        if not found:
            raise FileNotFoundError(location.href)
        names = (entry["name"].partition("?")[0] for entry in found if entry["type"] == "file")
        return sorted({name.rpartition("/")[2] for name in names if not name.endswith("/")})

    return retry_budget.call(f"cannot list {location!r}", attempt)
