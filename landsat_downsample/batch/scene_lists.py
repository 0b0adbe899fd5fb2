"""Lists of scenes: hrefs and STAC items, read from the command line, files, remote objects and stdin.

What a list is, is recognised by its content: one href a line, one JSON value a line, one JSON document, or
EarthExplorer's CSV.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, BinaryIO

from landsat_downsample.batch.entry import Entry, entries_of, failing_entry, gathered, href_entry
from landsat_downsample.batch.geoparquet import is_geoparquet, read_items
from landsat_downsample.errors import LandsatDownsampleError, ReadError, UsageError, read_error
from landsat_downsample.formats import scene_table
from landsat_downsample.formats.scene_table import SceneTable
from landsat_downsample.model.location import Location
from landsat_downsample.storage import files
from landsat_downsample.storage.regular_files import open_regular

#: Bytes of a remote list, or of a local one that is a single JSON document.
LIMIT = 1 << 30

_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def read_entries(words: Iterable[str], *, stdin: BinaryIO | None = None) -> list[Entry]:
    """List the scenes that words of a command line name.

    Parameters
    ----------
    words : iterable of str
        Each an href, ``@LIST`` (a path or remote href of a list), stac-geoparquet under a name that ends in
        ``.parquet`` or ``.geoparquet``, with @ or without, or ``-`` (a list on stdin). A list has
        one href a line (blank lines and those that begin with ``#`` are skipped), or one JSON value a line,
        or is a STAC ItemCollection or other JSON document, or EarthExplorer's CSV. A JSON value is an href,
        ``{"href": ...}``, a STAC item or ItemCollection, a line of a frozen list or of an outcomes.ndjson, or
        a list of these.
        Relative hrefs of a local list or stdin start at the current directory; those of a remote list where it is,
        and such a list may not point to this machine.
    stdin : binary file, optional
        Taken for ``-``; the process' own by default.

    Returns
    -------
    list of Entry
        In the order of their first mention, without those given twice. Items of one scene are one entry. What
        is none is an entry with an `Entry.error`, which names the list and the line.

    Raises
    ------
    UsageError
        A list has nothing in it that is an entry; the message names it and the line.
    ReadError
        A list cannot be read.
    """
    words = list(words)
    if words.count("-") > 1:
        raise UsageError("- is given twice: stdin can be read once")
    return gathered(entry for word in words for entry in _of_word(word, stdin))


def recorded_entries(href: str) -> list[Entry]:
    """Read a list of one's own record (`search_cache.freeze`), which may name local paths wherever it is.

    Raises
    ------
    UsageError
        It is something else.
    ReadError
        It cannot be read.
    """
    entries: list[Entry] = []
    for number, record in numbered(href):
        with Where(href, number):
            entries += entries_of(record)
    return gathered(entries)


def numbered(href: str) -> Iterator[tuple[int, Any]]:
    """Read the lines of a record with their numbers; a last one that was cut when its writer was killed is left out."""
    for number, line in enumerate(_lines(href), 1):
        with Where(href, number):
            try:
                record = json.loads(line)
            except ValueError as error:
                if not line.endswith(b"\n"):
                    return
                raise UsageError("not JSON; give a record of a run") from error
        yield number, record


# Words ---------------------------------------------------------------------------------------


def _of_word(word: str, stdin: BinaryIO | None) -> Iterator[Entry]:
    if word == "-":
        lines, name, base = stdin or _stdin(), "stdin", None
    elif word.startswith("@") or is_geoparquet(word):
        name = word.removeprefix("@")
        if not name.strip():
            raise UsageError("@ is followed by no list: give @FILE")
        location = Location(name)
        base = location.path if location.is_local else name
        lines = iter(()) if is_geoparquet(name) else _lines(name)
    else:
        if not word.strip():
            raise UsageError("href is empty: give a path or a URL")
        yield href_entry(word, None)
        return
    held: list[Entry] = []  # back until one is right: of a list that has none, the first one tells what it is
    found = False
    for entry in entries_of(read_items(name), base, base) if is_geoparquet(name) else _of_lines(lines, name, base):
        found = found or entry.error is None
        held.append(entry)
        if found:
            yield from held
            held = []
    if held and held[0].error is not None:
        raise held[0].error
    if not found:
        raise UsageError(f"list {Location(name)!r} names no scene: give one href a line")


def _stdin() -> Iterator[bytes]:
    """Lines of the process' own stdin."""
    if sys.stdin is None:  # the shell closed it: <&-
        raise UsageError("- is a list on stdin, which is closed: give the list as @FILE, or pipe it in")
    try:
        yield from sys.stdin.buffer
    except OSError as error:
        raise ReadError(f"cannot read the list on stdin: {(error.strerror or 'it failed').lower()}") from error


def _lines(href: str) -> Iterator[bytes]:
    """Lines of a list, with their ends; a local one is not held in memory."""
    location = Location(href)
    if location.kind != "file":
        yield from files.read_bytes(location, limit=LIMIT).splitlines(keepends=True)
        return
    try:
        with open_regular(location.path) as file:
            yield from file
    except OSError as error:
        raise read_error(f"cannot read the list {href!r}: {(error.strerror or 'it failed').lower()}", error) from error


def _of_lines(lines: Iterable[bytes], name: str, base: str | None) -> Iterator[Entry]:
    """Entries of a list: a table or JSON document of several lines, or a value or href in each line."""
    lines = iter(lines)
    alone = False  # whether a line before was a whole value
    for number, line in enumerate(lines, 1):
        with Where(name, number) as where:
            if number == 1:
                header = _text(line, first=True)  # a file of another kind is no list of entries that fail
                if table := SceneTable.of(header):
                    yield from _of_table(table, lines, name, base)
                    return
            try:
                text = _text(line, first=number == 1)
                if not text or text.startswith("#"):
                    continue
                if text[0] in '{["':
                    entries = list(entries_of(_value(text, () if alone else lines), base, base))
                else:
                    entries = [href_entry(text, base)]
            except LandsatDownsampleError as error:
                entries = [failing_entry(line.decode(errors="replace"), error)]
        for entry in entries:
            yield entry if entry.error is None else replace(entry, error=where.locate(entry.error))
        alone = True


def _of_table(table: SceneTable, lines: Iterable[bytes], name: str, base: str | None) -> Iterator[Entry]:
    """Entries of the rows below a header: scenes that lie beside a local table, else in the bucket of USGS."""
    folder = os.path.dirname(base or "") if base is None or Location(base).is_local else None
    for number, line in enumerate(lines, 2):
        text = table.name_in(line.decode(errors="replace"))
        if text is None:
            continue
        try:
            product = scene_table.product_of(text)
        except LandsatDownsampleError as error:
            yield failing_entry(text, Where(name, number).locate(error))
            continue
        beside = (
            [os.path.join(folder, f"{product.id}{ending}") for ending in ("", ".tar")] if folder is not None else []
        )
        yield href_entry(next(filter(os.path.exists, beside), scene_table.usgs_href(product)), base)


def _value(text: str, more: Iterable[bytes]) -> Any:
    """A JSON value: of one line, or of a document that begins with that line."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UsageError("not JSON (nested too deep)") from error
    except ValueError as error:
        rest = b"".join(more)
        try:
            return json.loads(text + "\n" + rest.decode())
        except (ValueError, RecursionError) as other:
            raise UsageError(f"not JSON{_place(error, other)}") from other


def _place(alone: ValueError, together: Exception) -> str:
    """Where JSON is broken, counted in lines from the one that the message names."""
    if not isinstance(together, json.JSONDecodeError) or together.lineno <= 2:
        return f" ({alone.msg.lower()})" if isinstance(alone, json.JSONDecodeError) else ""
    return f" ({together.msg.lower()}, {together.lineno - 1} lines below)"


def _text(line: bytes, *, first: bool) -> str:
    try:
        text = line.decode("utf-8-sig" if first else "utf-8").strip()
    except UnicodeDecodeError as error:
        raise UsageError("not UTF-8 text; give a list of hrefs (a scene itself goes without @)") from error
    if first and text.startswith("<"):
        raise UsageError("a web page (a login or error page?); give a list of hrefs")
    if _CONTROLS.search(text):
        raise UsageError("control characters; give a list of hrefs (a scene itself goes without @)")
    return text


class Where:
    """Adds the list and the line to an error; a context manager of its own, as there is one for each line."""

    __slots__ = ("name", "number")

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number

    def __enter__(self) -> Where:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, LandsatDownsampleError):
            raise self.locate(error) from error

    def locate(self, error: LandsatDownsampleError) -> UsageError:
        """Give the error that says where it is."""
        return UsageError(f"list {Location(self.name)!r}, line {self.number}: {error}")
