"""The three formats of the MTL, read: ODL text, JSON, XML. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from xml.parsers import expat

from landsat_downsample.errors import SceneError, UsageError
from landsat_downsample.formats.mtl.document import BOM, MAX_BYTES, MAX_DEPTH, Mtl, MtlEntry, MtlLayout


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
        self.entries: list[MtlEntry] = []
        self.layout: MtlLayout | None = None
        self.group_line = self.entry_line = -1

    def read(self) -> Mtl:
        offset = len(BOM) if self.data.startswith(BOM) else 0
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
            self.entries.append(MtlEntry(group, key, _unquote(value), *span, (offset, offset + len(line))))
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

    def _layout(self, at: int) -> MtlLayout:
        group = _blanks(self.data, self.group_line) if self.group_line >= 0 else b"  "
        entry = _blanks(self.data, self.entry_line) if self.entry_line >= 0 else b"    "
        return MtlLayout(at, _newline(self.data, at) or b"\n", group, entry)


def _blanks(data: bytes, offset: int) -> bytes:
    rest = data[offset:]
    return rest[: len(rest) - len(rest.lstrip(b" \t"))]


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
        self.entries: list[MtlEntry] = []
        self.layout: MtlLayout  # made when the root ends, as it does in all that JSON can read
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
        for token in _TOKEN.finditer(self.data, len(BOM) if self.data.startswith(BOM) else 0):
            self._token(token.group(), token.start())
        return Mtl("json", self.data, self.root, tuple(self.entries), self.layout)

    def _token(self, token: bytes, start: int) -> None:
        if token == b"{":
            key = self.stack[-1].key if self.stack else None
            name = key[0] if key else ""
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
        self.entries.append(MtlEntry(top.name, key, text, start, stop, cut))
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

    def _layout(self, root: _Object) -> MtlLayout:
        newline = b"\r\n" if b"\r\n" in root.lead else b"\n" if b"\n" in root.lead else b""
        group = root.lead.rpartition(b"\n")[2] if newline else b""
        entry = self.entry_lead.rpartition(b"\n")[2] if newline else b""
        if newline and len(entry) <= len(group):  # no groups in it to learn from
            entry = group * 2
        at = root.last if root.last >= 0 else root.opened + 1
        return MtlLayout(at, newline, group, entry, self.colon)


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
        self.entries: list[MtlEntry] = []
        self.layout: MtlLayout  # made when the root ends, as it does in all that expat can read
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

    def _refuse(self, *_declaration: object) -> None:
        raise SceneError("MTL.xml declares a document type or entities: refused, no Landsat metadata file does")

    def _open(self, name: str, _attributes: dict[str, Any]) -> None:
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
            self.entries.append(MtlEntry(self.stack[-1].name, name, value, start, stop, self._cut(element.start, end)))
            self.entry_at = element.start
        self.words.clear()

    def _spans(self, opened: int, close: int) -> tuple[int, int, int]:
        """Start and stop of an element's value, and the element's end."""
        tag = _START_TAG.match(self.data, opened)
        if tag is None:
            raise SceneError(f"MTL.xml: the tag at byte {opened} cannot be read; fetch it again")
        if tag.group(1):  # <KEY/>: the value takes the place of "/>"
            return tag.end() - 2, tag.end(), tag.end()
        return tag.end(), close, self.data.index(b">", close) + 1

    def _cut(self, start: int, end: int) -> tuple[int, int]:
        line = _margin(self.data, start)
        rest = re.compile(rb"[ \t]*\r?\n").match(self.data, end)
        return (start, end) if line is None or rest is None else (line, rest.end())

    def _layout(self, close: int) -> MtlLayout:
        margin = _margin(self.data, close)
        if not margin:
            return MtlLayout(close)
        newline = _newline(self.data, close)
        return MtlLayout(margin, newline, _indent(self.data, self.group_at), _indent(self.data, self.entry_at))


_READERS = {
    "txt": lambda data: _OdlReader(data).read(),
    "json": lambda data: _JsonReader(data).read(),
    "xml": lambda data: _XmlReader(data).read(),
}
