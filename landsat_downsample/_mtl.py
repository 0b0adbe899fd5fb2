"""The scene's own metadata, the MTL: read in its three formats, rewritten for a coarse grid.

A parsed MTL keeps the bytes it came from and knows where in them each value lies. A rewrite
replaces those spans only, so that whatever is not edited (order, quoting, number format,
indentation, line ends, NUL padding) stays byte for byte as USGS wrote it.

Groups and keys are those of the Landsat Collection 2 data format control books (LSDS-1822,
-1414, -1415, -1416); Collection 1 and older files have other groups for the same keys.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from xml.parsers import expat

from affine import Affine

from landsat_downsample._errors import ReadError, SceneError, UsageError
from landsat_downsample._grid import Grid
from landsat_downsample._shortage import shortage

#: Real MTLs have 8 to 24 kB; what is larger than this is something else.
MAX_BYTES = 4 * 1024 * 1024

#: Root, group, value: no real MTL is deeper.
MAX_DEPTH = 8

#: Group that a rewrite adds.
RECORD = "DOWNSAMPLING_RECORD"

#: Where a product's files are listed: Collection 2, Collection 1 and older, JSON without groups.
_CONTENTS = ("PRODUCT_CONTENTS", "PRODUCT_METADATA", "")

#: Where its grid is described. LEVEL1_PROJECTION_PARAMETERS is not among them: in a Level 2
#: product it describes the Level 1 source.
_SPATIAL = ("PROJECTION_ATTRIBUTES", "PRODUCT_METADATA", "PROJECTION_PARAMETERS", "")

_GRIDS = ("PANCHROMATIC", "REFLECTIVE", "THERMAL")

_BOM = b"\xef\xbb\xbf"

Changes = dict[tuple[str, str], str | None]
Record = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of an MTL and where it lies."""

    group: str
    key: str
    value: str
    """Without quotes and escapes."""
    start: int
    """Where the value begins in the bytes, quotes included."""
    stop: int
    cut: tuple[int, int]
    """What goes when the key is removed: its line, its element, its member with a comma."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the next group would go, and how it would look."""

    at: int
    newline: bytes = b""
    group_indent: bytes = b""
    entry_indent: bytes = b""
    equals: bytes = b" = "
    """Between key and value."""


@dataclass(frozen=True, slots=True)
class Mtl:
    """An MTL as it was read: its bytes, and the values found in them, in order."""

    kind: str
    """``txt``, ``json`` or ``xml``."""
    data: bytes
    root: str
    """Name of the outermost group: ``LANDSAT_METADATA_FILE``, ``L1_METADATA_FILE``; empty without one."""
    entries: tuple[Entry, ...]
    layout: Layout

    @property
    def groups(self) -> dict[str, dict[str, str]]:
        """Group -> key -> unquoted value, in the file's order; the first of a repeated key."""
        groups: dict[str, dict[str, str]] = {}
        for entry in self.entries:
            groups.setdefault(entry.group, {}).setdefault(entry.key, entry.value)
        return groups

    def get(self, group: str, key: str, default: str | None = None) -> str | None:
        """Unquoted value of `key` in `group`."""
        return next((entry.value for entry in self.entries if (entry.group, entry.key) == (group, key)), default)

    def find(self, key: str, groups: Iterable[str] | None = None) -> str | None:
        """Unquoted value of `key` in the first group that has it, or in the first of `groups`."""
        if groups is None:
            return next((entry.value for entry in self.entries if entry.key == key), None)
        return next((value for group in groups if (value := self.get(group, key)) is not None), None)

    def files(self) -> dict[str, str]:
        """``FILE_NAME_*`` -> name of each file of the product, in the file's order."""
        group = self._contents()
        return {
            entry.key: entry.value
            for entry in self.entries
            if entry.group == group and entry.key.startswith("FILE_NAME_")
        }

    def _contents(self) -> str:
        present = {entry.group for entry in self.entries}
        return next((group for group in _CONTENTS if group in present), "")


# Reading -------------------------------------------------------------------------------------


def kind_of(filename: str) -> str:
    """Format of an MTL by the ending of its name.

    >>> kind_of("LC08_L2SP_008059_20191201_20200825_02_T1_MTL.xml")
    'xml'

    Raises
    ------
    SceneError
        The name ends in none of .txt, .json, .xml.
    """
    ending = filename.rpartition(".")[2].lower()
    if ending not in _READERS:
        raise SceneError(f"metadata file {filename!r}: its format is unknown; an MTL ends in .txt, .json or .xml")
    return ending


def parse(data: bytes, kind: str) -> Mtl:
    """Read an MTL.

    Parameters
    ----------
    data : bytes
        The whole file, at most `MAX_BYTES`.
    kind : str
        ``txt`` (ODL), ``json`` or ``xml``.

    Raises
    ------
    SceneError
        It is not an MTL of that format: too large, cut short, malformed, or XML with a DOCTYPE.
    """
    if kind not in _READERS:
        raise UsageError(f"MTL format {kind!r}: give one of txt, json and xml")
    if len(data) > MAX_BYTES:
        raise SceneError(f"MTL of {len(data)} bytes: more than {MAX_BYTES}; this is no Landsat metadata file")
    try:
        mtl = _READERS[kind](bytes(data))
    except ValueError as error:  # bytes that are not UTF-8, JSON that is not JSON
        raise SceneError(f"MTL.{kind} cannot be read: {error}; fetch it again") from error
    if not mtl.entries:
        raise SceneError(f"MTL.{kind} holds no values; fetch it again")
    return mtl


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _blanks_before(data: bytes, offset: int) -> bytes:
    """Spaces and tabs before `offset`, 256 at most: a search without end would be quadratic."""
    head = data[max(0, offset - 256) : offset]
    return head[len(head.rstrip(b" \t")) :]


def _margin(data: bytes, offset: int) -> int | None:
    """Start of the line of `offset` when only blanks lie between, else None."""
    start = offset - len(_blanks_before(data, offset))
    return start if start == 0 or data[start - 1 : start] == b"\n" else None


def _indent(data: bytes, offset: int) -> bytes:
    start = _margin(data, offset)
    return b"" if start is None else data[start:offset]


def _newline(data: bytes, offset: int) -> bytes:
    """Line end before `offset`, or nothing when something else stands on its line."""
    start = _margin(data, offset)
    if not start:
        return b""
    return b"\r\n" if data[:start].endswith(b"\r\n") else b"\n"


class _OdlReader:
    """Reads ``KEY = value`` lines between ``GROUP`` and ``END_GROUP``."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.stack: list[str] = []
        self.root: str | None = None
        self.entries: list[Entry] = []
        self.layout: Layout | None = None
        self.group_line = self.entry_line = -1

    def read(self) -> Mtl:
        offset = len(_BOM) if self.data.startswith(_BOM) else 0
        padding = self.data.find(b"\0")
        body = self.data[offset : padding if padding >= 0 else None]
        for number, line in enumerate(body.splitlines(keepends=True), 1):
            if line.strip() == b"END":
                break
            if line.strip():
                self._line(number, offset, line)
            offset += len(line)
        if self.stack:
            raise SceneError(f"MTL.txt ends inside group {self.stack[-1]}: it is cut short; fetch it again")
        if self.layout is None:
            raise SceneError("MTL.txt holds no group: it is no Landsat metadata file")
        return Mtl("txt", self.data, self.root or "", tuple(self.entries), self.layout)

    def _line(self, number: int, offset: int, line: bytes) -> None:
        before, equals, after = line.partition(b"=")
        key, value = _text(before.strip()), after.strip()
        if not equals or not key:
            raise SceneError(f"MTL.txt line {number}: {_text(line.strip()[:40])!r} is not KEY = value; fetch it again")
        if key == "GROUP":
            self._open(_text(value), offset)
        elif key == "END_GROUP":
            self._close(_text(value), offset, number)
        else:
            start = offset + len(line) - len(after.lstrip())
            group = self.stack[-1] if self.stack else ""
            span = (start, start + len(value))
            self.entries.append(Entry(group, key, _unquote(value), *span, (offset, offset + len(line))))
            self.entry_line = offset

    def _open(self, name: str, offset: int) -> None:
        if self.root is None:
            self.root = name
        elif len(self.stack) == 1:
            self.group_line = offset
        self.stack.append(name)
        if len(self.stack) > MAX_DEPTH:
            raise SceneError(f"MTL.txt: group {name} lies deeper than {MAX_DEPTH}; this is no Landsat metadata file")

    def _close(self, name: str, offset: int, number: int) -> None:
        if not self.stack or self.stack.pop() != name:
            raise SceneError(f"MTL.txt line {number}: END_GROUP = {name} closes no open group; fetch it again")
        if not self.stack and self.layout is None:
            self.layout = self._layout(offset)

    def _layout(self, at: int) -> Layout:
        group = _blanks(self.data, self.group_line) if self.group_line >= 0 else b"  "
        entry = _blanks(self.data, self.entry_line) if self.entry_line >= 0 else b"    "
        return Layout(at, _newline(self.data, at) or b"\n", group, entry)


def _blanks(data: bytes, offset: int) -> bytes:
    return re.compile(rb"[ \t]*").match(data, offset).group()


def _unquote(value: bytes) -> str:
    quoted = len(value) > 1 and value.startswith(b'"') and value.endswith(b'"')
    return _text(value[1:-1] if quoted else value)


_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


@dataclass(slots=True)
class _Object:
    """A JSON object that is being read."""

    name: str
    opened: int
    key: tuple[str, int] | None = None
    """The member's key and where it begins."""
    last: int = -1
    """End of the member before, -1 when there is none."""
    lead: bytes = b""
    """Blanks before the latest key."""


class _JsonReader:
    """Finds the spans of the values; that the text is JSON at all is known before."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.stack: list[_Object] = []
        self.entries: list[Entry] = []
        self.layout: Layout | None = None
        self.entry_lead = b""
        self.colon = b": "
        self.root = ""

    def read(self) -> Mtl:
        try:
            content = json.loads(self.data.decode("utf-8-sig"))
        except RecursionError as error:
            raise SceneError("MTL.json is nested too deep; this is no Landsat metadata file") from error
        if not isinstance(content, dict):
            raise SceneError(f"MTL.json holds a {type(content).__name__} where groups should be")
        only = next(iter(content.items())) if len(content) == 1 else ("", None)
        self.root = only[0] if isinstance(only[1], dict) else ""
        for token in _TOKEN.finditer(self.data, len(_BOM) if self.data.startswith(_BOM) else 0):
            self._token(token.group(), token.start())
        return Mtl("json", self.data, self.root, tuple(self.entries), self.layout)

    def _token(self, token: bytes, start: int) -> None:
        if token == b"{":
            name = self.stack[-1].key[0] if self.stack else ""
            self.stack.append(_Object(name, start))
            if len(self.stack) > MAX_DEPTH:
                raise SceneError(f"MTL.json: {name!r} lies deeper than {MAX_DEPTH}; this is no Landsat metadata file")
        elif token == b"}":
            self._close(start)
        elif token in (b"[", b"]"):
            raise SceneError("MTL.json holds a list; groups and plain values are all that an MTL has")
        elif token not in (b":", b","):
            self._word(token, start)

    def _word(self, token: bytes, start: int) -> None:
        top = self.stack[-1]
        if top.key is None:
            top.lead = self._space_before(start)
            top.key = (json.loads(token), start)
            return
        key, at = top.key
        stop = start + len(token)
        value = json.loads(token)
        cut = (at if top.last < 0 else top.last, stop)
        text = value if isinstance(value, str) else _text(token)
        self.entries.append(Entry(top.name, key, text, start, stop, cut))
        self.entry_lead = top.lead or self.entry_lead
        self.colon = self.data[at:start][len(self.data[at:start].rstrip(b" \t:\r\n")) :]
        top.key, top.last = None, stop

    def _space_before(self, start: int) -> bytes:
        head = self.data[max(0, start - 256) : start]
        return head[len(head.rstrip()) :]

    def _close(self, start: int) -> None:
        done = self.stack.pop()
        if len(self.stack) == bool(self.root):
            self.layout = self._layout(done)
        if self.stack:
            self.stack[-1].key, self.stack[-1].last = None, start + 1

    def _layout(self, root: _Object) -> Layout:
        newline = b"\r\n" if b"\r\n" in root.lead else b"\n" if b"\n" in root.lead else b""
        group = root.lead.rpartition(b"\n")[2] if newline else b""
        entry = self.entry_lead.rpartition(b"\n")[2] if newline else b""
        if newline and len(entry) <= len(group):  # no groups in it to learn from
            entry = group * 2
        at = root.last if root.last >= 0 else root.opened + 1
        return Layout(at, newline, group, entry, self.colon)


_START_TAG = re.compile(rb"""<[^\s/>]+(?:\s+[^\s=]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*(/?)>""")


@dataclass(slots=True)
class _Element:
    name: str
    start: int
    leaf: bool = True


class _XmlReader:
    """Walks the elements; entities, DTDs and anything else that reaches outside are refused."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.stack: list[_Element] = []
        self.words: list[str] = []
        self.entries: list[Entry] = []
        self.layout: Layout | None = None
        self.root = ""
        self.group_at = self.entry_at = -1
        # Naming the encoding overrides the document's, so that offsets count these very bytes
        # (but for UTF-16, which the parser takes by its byte order mark: see `read`).
        self.parser = expat.ParserCreate("utf-8")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse
        self.parser.StartElementHandler = self._open
        self.parser.EndElementHandler = self._close
        self.parser.CharacterDataHandler = self.words.append

    def read(self) -> Mtl:
        if "\0" in self.data.decode():
            raise SceneError("MTL.xml cannot be read: it is not UTF-8; fetch it again")
        try:
            self.parser.Parse(self.data, True)
        except expat.ExpatError as error:
            raise SceneError(f"MTL.xml cannot be read: {error}; fetch it again") from error
        return Mtl("xml", self.data, self.root, tuple(self.entries), self.layout)

    def _refuse(self, *_declaration) -> None:
        raise SceneError("MTL.xml declares a document type or entities: refused, no Landsat metadata file does")

    def _open(self, name: str, _attributes: dict) -> None:
        start = self.parser.CurrentByteIndex
        if self.stack:
            self.stack[-1].leaf = False
        if len(self.stack) == 1:
            self.group_at = start
        self.root = self.root or name
        self.stack.append(_Element(name, start))
        self.words.clear()
        if len(self.stack) > MAX_DEPTH:
            raise SceneError(f"MTL.xml: <{name}> lies deeper than {MAX_DEPTH}; this is no Landsat metadata file")

    def _close(self, name: str) -> None:
        element, close = self.stack.pop(), self.parser.CurrentByteIndex
        if not self.stack:
            self.layout = self._layout(close)
        elif element.leaf and ((value := "".join(self.words).strip()) or len(self.stack) > 1):
            # What is empty right under the root is a group whose keys are gone.
            start, stop, end = self._spans(element.start, close)
            self.entries.append(Entry(self.stack[-1].name, name, value, start, stop, self._cut(element.start, end)))
            self.entry_at = element.start
        self.words.clear()

    def _spans(self, opened: int, close: int) -> tuple[int, int, int]:
        """Start and stop of an element's value, and the element's end."""
        tag = _START_TAG.match(self.data, opened)
        if tag.group(1):  # <KEY/>: the value takes the place of "/>"
            return tag.end() - 2, tag.end(), tag.end()
        return tag.end(), close, self.data.index(b">", close) + 1

    def _cut(self, start: int, end: int) -> tuple[int, int]:
        line = _margin(self.data, start)
        rest = re.compile(rb"[ \t]*\r?\n").match(self.data, end)
        return (start, end) if line is None or rest is None else (line, rest.end())

    def _layout(self, close: int) -> Layout:
        margin = _margin(self.data, close)
        newline = _newline(self.data, close)
        if not newline:
            return Layout(close)
        return Layout(margin, newline, _indent(self.data, self.group_at), _indent(self.data, self.entry_at))


_READERS = {
    "txt": lambda data: _OdlReader(data).read(),
    "json": lambda data: _JsonReader(data).read(),
    "xml": lambda data: _XmlReader(data).read(),
}


# Rewriting -----------------------------------------------------------------------------------


def rewrite(mtl: Mtl, changes: Changes, record: Record | None = None) -> bytes:
    """Write the MTL with some values changed and a record of the downsampling added.

    Parameters
    ----------
    mtl : Mtl
        As it was read.
    changes : dict of (group, key) to str or None
        New values, unquoted; None removes the key. A number keeps at least as many decimals
        as the old one had, and gets more only where it needs them.
    record : dict of str to str, int or float, optional
        Entries of a new last group, `RECORD` (or with ``_2`` ... after it where the source was
        downsampled before). Numbers are written as numbers, strings quoted as the format does.

    Returns
    -------
    bytes
        In the same format; every byte outside these edits as it was.

    Raises
    ------
    UsageError
        A key to be changed is not there, or a key of the record is no plain name.
    """
    _check(mtl, changes, record or {})
    edits = []
    removed = []
    for entry in mtl.entries:
        new = changes.get((entry.group, entry.key), entry.value)
        if new is None:
            removed.append(entry.cut)
        elif new != entry.value:
            edits.append((entry.start, entry.stop, _encode(mtl, entry, new)))
    edits += [(*span, b"") for span in _merged(mtl, removed)]
    if record:
        edits.append((mtl.layout.at, mtl.layout.at, _GROUPS[mtl.kind](mtl.layout, _record_name(mtl), record)))
    return _spliced(mtl.data, sorted(edits))


def _check(mtl: Mtl, changes: Changes, record: Record) -> None:
    present = {(entry.group, entry.key) for entry in mtl.entries}
    for (group, key), value in changes.items():
        if value is not None and (group, key) not in present:
            raise UsageError(f"change of {key} in group {group or 'root'}: this MTL has no such key")
    for key in record:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", key):
            raise UsageError(f"record key {key!r}: must be letters, digits and underscores, as MTL keys are")


def _record_name(mtl: Mtl) -> str:
    taken = {entry.group for entry in mtl.entries}
    count = 1
    while (name := RECORD if count == 1 else f"{RECORD}_{count}") in taken:
        count += 1
    return name


def _merged(mtl: Mtl, cuts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join cuts that touch; in JSON, take the comma after a run that opens its object."""
    runs: list[tuple[int, int]] = []
    for start, stop in cuts:
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
    if mtl.kind != "json":
        return runs
    comma = re.compile(rb"\s*,\s*")
    opening = [mtl.data[start : start + 1] == b'"' and comma.match(mtl.data, stop) for start, stop in runs]
    return [(start, after.end() if after else stop) for (start, stop), after in zip(runs, opening, strict=True)]


def _spliced(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    parts, position = [], 0
    for start, stop, new in edits:
        parts += [data[position:start], new]
        position = stop
    return b"".join([*parts, data[position:]])


def _encode(mtl: Mtl, entry: Entry, new: str) -> bytes:
    """`new` in the format, quoting and number format of the entry's old value."""
    new = _clean(_like(entry.value, new))
    raw = mtl.data[entry.start : entry.stop]
    if mtl.kind == "xml":
        text = _escaped(new).encode("ascii", "xmlcharrefreplace")
        return b">" + text + f"</{entry.key}>".encode() if raw == b"/>" else text
    if mtl.kind == "json":
        return new.encode() if not raw.startswith(b'"') and _NUMBER.fullmatch(new) else json.dumps(new).encode()
    quoted = raw.startswith(b'"') or not new or bool(re.search(r"\s", new))
    return _odl_string(new) if quoted else new.encode()


def _escaped(text: str) -> str:
    from html import escape  # that of xml.sax loads an HTTP client

    return escape(text, quote=False)


def _clean(text: str) -> str:
    """One line without control characters, which none of the formats could hold."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]+", " ", text).strip()


def _odl_string(text: str) -> bytes:
    return b'"' + text.replace('"', "'").encode() + b'"'  # ODL has no escape


_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,2})?")
_FIXED = re.compile(r"[-+]?\d+(?:\.(\d*))?")


def _like(old: str, new: str) -> str:
    """Number `new` with the decimals of `old`, and more where it needs them; other text as it is."""
    pattern = _FIXED.fullmatch(old)
    if not pattern or not _NUMBER.fullmatch(new):
        return new
    value = Decimal(new)
    needed = max(0, -value.normalize().as_tuple().exponent)
    decimals = pattern.group(1)
    if decimals is None:
        return new if needed or "." not in new else f"{value:.0f}"
    return f"{value:.{max(len(decimals), needed)}f}"


def _plain(value: str | int | float) -> str:
    return value if isinstance(value, str) else _decimal(value, 9)


def _odl_group(layout: Layout, name: str, record: Record) -> bytes:
    def line(indent: bytes, key: str, value: bytes) -> bytes:
        return indent + key.encode() + layout.equals + value + layout.newline

    lines = [line(layout.group_indent, "GROUP", name.encode())]
    for key, value in record.items():
        text = _odl_string(_clean(value)) if isinstance(value, str) else _plain(value).encode()
        lines.append(line(layout.entry_indent, key, text))
    lines.append(line(layout.group_indent, "END_GROUP", name.encode()))
    return b"".join(lines)


def _json_group(layout: Layout, name: str, record: Record) -> bytes:
    # USGS writes every value of an MTL.json as a string, numbers too.
    members = [
        json.dumps(key).encode() + layout.equals + json.dumps(_clean(_plain(v))).encode() for key, v in record.items()
    ]
    outer = layout.newline + layout.group_indent
    inner = layout.newline + layout.entry_indent
    gap = b"" if layout.newline else b" " if layout.equals.endswith(b" ") else b""
    body = inner + (b"," + gap + inner).join(members) + outer
    return b"," + gap + outer + json.dumps(name).encode() + layout.equals + b"{" + body + b"}"


def _xml_group(layout: Layout, name: str, record: Record) -> bytes:
    lines = [layout.group_indent + f"<{name}>".encode()]
    for key, value in record.items():
        text = _escaped(_clean(_plain(value))).encode("ascii", "xmlcharrefreplace")
        lines.append(layout.entry_indent + f"<{key}>".encode() + text + f"</{key}>".encode())
    lines.append(layout.group_indent + f"</{name}>".encode())
    return b"".join(line + layout.newline for line in lines)


_GROUPS = {"txt": _odl_group, "json": _json_group, "xml": _xml_group}


def _decimal(value: float, places: int) -> str:
    """Shortest decimal text of a number to so many places: ``227.73``, ``300``, never ``-0``."""
    text = f"{value:.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


# The coarse grid -----------------------------------------------------------------------------


def coarse_changes(
    mtl: Mtl,
    *,
    coarse: Grid,
    files: Mapping[str, str | None] | None = None,
    dtypes: Mapping[str, str] | None = None,
) -> Changes:
    """What changes in an MTL when every band of its product is put on one coarse grid.

    Only keys that the MTL has are changed. In LEVEL1_PROJECTION_PARAMETERS, which tells how
    the Level 1 source was made, the cell size changes only when the product is Level 1 itself.

    Parameters
    ----------
    mtl : Mtl
        Of the source.
    coarse : Grid
        The grid of all bands. The MTL has one cell size for both axes: it gets the x one; see `notes`.
    files : dict of str to str or None, optional
        Old file name -> new one, or None for a file that is not written: its FILE_NAME_* and
        DATA_TYPE_* go. Names that are not mentioned stay.
    dtypes : dict of str to str, optional
        Old file name -> numpy name of its new data type, where it changed.

    Returns
    -------
    dict of (group, key) to str or None
        For `rewrite`.

    Raises
    ------
    SceneError
        The grid's CRS is unknown, so that the corners have no latitude and longitude.
    """
    places = [*_SPATIAL, "LEVEL1_PROJECTION_PARAMETERS"] if _level(mtl) == 1 else _SPATIAL
    wanted = _grid_values(coarse)
    changes: Changes = {
        (entry.group, entry.key): wanted[entry.key]
        for entry in mtl.entries
        if entry.group in places and entry.key in wanted
    }
    return changes | _file_changes(mtl, files or {}, dtypes or {})


def notes(coarse: Grid) -> dict[str, str | float]:
    """What a reader of the rewritten MTL must know, as entries for the record."""
    step_y, step_x = coarse.resolution
    told: dict[str, str | float] = {
        "STATISTICS_NOTE": "cloud cover, saturation, image quality and geometric errors are the whole source scene's",
    }
    if not math.isclose(step_y, step_x, rel_tol=1e-9):
        told["GRID_CELL_SIZE_Y"] = float(_decimal(step_y, 9))
        told["GRID_CELL_SIZE_NOTE"] = "cells are not square: GRID_CELL_SIZE_* is the x size"
    return told


def _level(mtl: Mtl) -> int | None:
    word = mtl.find("PROCESSING_LEVEL", _CONTENTS) or mtl.find("DATA_TYPE", _CONTENTS) or ""
    return int(word[1]) if re.match(r"L\d", word) else None


def _file_changes(mtl: Mtl, files: Mapping[str, str | None], dtypes: Mapping[str, str]) -> Changes:
    group = mtl._contents()
    present = mtl.groups.get(group, {})
    changes: Changes = {}
    for key, name in mtl.files().items():
        what = key.removeprefix("FILE_NAME_")
        new = files.get(name, name)
        if new != name:
            changes[group, key] = new
        if new is None:
            changes[group, f"DATA_TYPE_{what}"] = None
            if f"PRESENT_{what}" in present:  # MSS: whether the product has the band
                changes[group, f"PRESENT_{what}"] = "N"
        elif name in dtypes and f"DATA_TYPE_{what}" in present:
            changes[group, f"DATA_TYPE_{what}"] = dtypes[name].upper()
    return changes


def _grid_values(coarse: Grid) -> dict[str, str]:
    """Every key that describes the grid -> its value, whether or not an MTL has it."""
    _, step_x = coarse.resolution
    values = {}
    for name in _GRIDS:
        values[f"GRID_CELL_SIZE_{name}"] = _decimal(step_x, 9)
        values[f"{name}_LINES"] = str(coarse.height)
        values[f"{name}_SAMPLES"] = str(coarse.width)
    corners = _corners(coarse)
    positions = zip(corners.items(), _lonlat(coarse.crs, list(corners.values())), strict=True)
    for (corner, (x, y)), (lon, lat) in positions:
        values[f"CORNER_{corner}_PROJECTION_X_PRODUCT"] = _decimal(x, 6)
        values[f"CORNER_{corner}_PROJECTION_Y_PRODUCT"] = _decimal(y, 6)
        values[f"CORNER_{corner}_LAT_PRODUCT"] = _decimal(lat, 5)
        values[f"CORNER_{corner}_LON_PRODUCT"] = _decimal(lon, 5)
    return values


def _corners(grid: Grid) -> dict[str, tuple[float, float]]:
    """CRS coordinates (x, y) of the centres of the four corner cells."""
    t = grid.transform
    left, right = t.c + 0.5 * t.a, t.c + (grid.width - 0.5) * t.a
    top, bottom = t.f + 0.5 * t.e, t.f + (grid.height - 0.5) * t.e
    return {"UL": (left, top), "UR": (right, top), "LL": (left, bottom), "LR": (right, bottom)}


def _lonlat(crs: str, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Longitude and latitude in degrees; by transform, so that no hemisphere is assumed."""
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    try:
        lons, lats = transform(crs, "EPSG:4326", *map(list, zip(*points, strict=True)))
    except (RasterioError, ValueError) as error:  # CRSError is only a ValueError
        if words := shortage(error):
            raise ReadError(f"corners of a grid have no latitude and longitude: {words}") from error
        raise SceneError(f"corners of a grid with CRS {crs!r} have no latitude and longitude: {error}") from error
    return list(zip(lons, lats, strict=True))


def frame(mtl: Mtl, group: str = "reflective") -> Grid | None:
    """Grid that the MTL describes for a group of bands.

    Corners in an MTL are the centres of pixels; the grid's transform starts half a pixel
    outside. Landsat uses the northern UTM zones on both hemispheres (with negative northings in
    the south), and polar stereographic in Antarctica.

    Parameters
    ----------
    group : str
        ``reflective``, ``thermal`` or ``panchromatic``. The panchromatic frame has the same first centre.

    Returns
    -------
    Grid or None
        None where the MTL does not say, or says something that is no Landsat frame.
    """
    name = group.upper()
    if name not in _GRIDS:
        raise UsageError(f"group {group!r}: give reflective, thermal or panchromatic")
    keys = (
        f"{name}_LINES",
        f"{name}_SAMPLES",
        f"GRID_CELL_SIZE_{name}",
        "CORNER_UL_PROJECTION_X_PRODUCT",
        "CORNER_UL_PROJECTION_Y_PRODUCT",
    )
    height, width, step_x, x, y = (_number(mtl.find(key, _SPATIAL)) for key in keys)
    crs = _crs(mtl)
    if crs is None or None in (height, width, step_x, x, y) or min(height, width) < 1 or step_x <= 0:
        return None
    step_y = _recorded_step_y(mtl) or step_x
    return Grid((int(height), int(width)), Affine(step_x, 0.0, x - step_x / 2, 0.0, -step_y, y + step_y / 2), crs)


def _recorded_step_y(mtl: Mtl) -> float | None:
    """Height of cells that are not square, which only our own record tells: of the latest one."""
    records = [name for name in mtl.groups if name.startswith(RECORD)]
    return _number(mtl.get(records[-1], "GRID_CELL_SIZE_Y")) if records else None


def _crs(mtl: Mtl) -> str | None:
    def said(key: str) -> str | None:
        return mtl.find(key, _SPATIAL)

    if said("DATUM") not in (None, "WGS84") or said("ORIENTATION") not in (None, "NORTH_UP"):
        return None
    zone = _number(said("UTM_ZONE"))
    if said("MAP_PROJECTION") == "UTM" and zone in range(1, 61):
        return f"EPSG:{32600 + int(zone)}"
    antarctic = {"TRUE_SCALE_LAT": -71, "VERTICAL_LON_FROM_POLE": 0, "FALSE_EASTING": 0, "FALSE_NORTHING": 0}
    if said("MAP_PROJECTION") == "PS" and all(_number(said(key)) in (None, n) for key, n in antarctic.items()):
        return "EPSG:3031"
    return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


# STAC properties -----------------------------------------------------------------------------

_INSTRUMENTS = {
    "OLI_TIRS": ["oli", "tirs"],
    "OLI": ["oli"],
    "TIRS": ["tirs"],
    "ETM": ["etm+"],
    "ETM+": ["etm+"],
    "TM": ["tm"],
    "MSS": ["mss"],
}

#: STAC property -> MTL keys that hold it, best first.
_WORDS = {
    "landsat:scene_id": ("LANDSAT_SCENE_ID",),
    "landsat:wrs_type": ("WRS_TYPE",),
    "landsat:collection_number": ("COLLECTION_NUMBER",),
    "landsat:collection_category": ("COLLECTION_CATEGORY",),
    "landsat:correction": ("PROCESSING_LEVEL", "DATA_TYPE"),
    "landsat:product_generated": ("DATE_PRODUCT_GENERATED", "FILE_DATE"),
}


def properties(mtl: Mtl) -> dict:
    """STAC properties that the MTL tells; what it does not tell is left out.

    Returns
    -------
    dict
        datetime (RFC 3339, UTC), platform, instruments, ``eo:cloud_cover`` (percent), ``view:*``
        (degrees; the azimuth within 0 to 360 as STAC wants it), ``landsat:*`` and ``sci:doi``.
    """
    platform = re.fullmatch(r"LANDSAT_?([1-9])", (mtl.find("SPACECRAFT_ID") or "").upper())
    found = {
        "datetime": _datetime(mtl),
        "platform": f"landsat-{platform[1]}" if platform else None,
        "instruments": _INSTRUMENTS.get(mtl.find("SENSOR_ID") or ""),
        "eo:cloud_cover": _percent(mtl.find("CLOUD_COVER")),
        **_view(mtl),
        "landsat:wrs_path": _three_digits(mtl.find("WRS_PATH")),
        "landsat:wrs_row": _three_digits(mtl.find("WRS_ROW")),
        "landsat:cloud_cover_land": _percent(mtl.find("CLOUD_COVER_LAND")),
        "sci:doi": _doi(mtl.find("DIGITAL_OBJECT_IDENTIFIER")),
    }
    for name, keys in _WORDS.items():
        found[name] = next((value for key in keys if (value := mtl.find(key))), None)
    return {name: value for name, value in found.items() if value is not None}


def _datetime(mtl: Mtl) -> str | None:
    """Acquisition time, cut to microseconds: the MTL has seven decimals."""
    day, time = mtl.find("DATE_ACQUIRED"), mtl.find("SCENE_CENTER_TIME")
    match = re.fullmatch(r"(\d\d:\d\d:\d\d)(?:\.(\d*))?Z?", time or "")
    if not day or not match:
        return None
    fraction = (match[2] or "")[:6].ljust(6, "0")
    try:
        moment = datetime.fromisoformat(f"{day}T{match[1]}.{fraction}").replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _view(mtl: Mtl) -> dict[str, float | None]:
    azimuth = _number(mtl.find("SUN_AZIMUTH"))
    roll = _number(mtl.find("ROLL_ANGLE"))
    pointing = mtl.find("NADIR_OFFNADIR")
    off_nadir = 0 if pointing == "NADIR" else abs(roll) if pointing == "OFFNADIR" and roll is not None else None
    return {
        "view:sun_azimuth": None if azimuth is None else round(azimuth % 360, 8),
        "view:sun_elevation": _number(mtl.find("SUN_ELEVATION")),
        "view:off_nadir": off_nadir,
    }


def _percent(text: str | None) -> float | None:
    """A cloud cover; -1 means that nobody knows."""
    value = _number(text)
    return value if value is not None and 0 <= value <= 100 else None


def _three_digits(text: str | None) -> str | None:
    return f"{int(text):03d}" if text and re.fullmatch(r"\d{1,3}", text) else None


def _doi(text: str | None) -> str | None:
    match = re.search(r"10\.\d{4,9}/\S+", text or "")
    return match[0] if match else None
