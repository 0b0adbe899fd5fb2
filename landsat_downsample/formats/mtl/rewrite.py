"""The scene's own metadata, the MTL: read in its three formats, rewritten for a coarse grid.

A parsed MTL keeps the bytes it came from and knows where in them each value lies. A rewrite
replaces those spans only, so that whatever is not edited (order, quoting, number format,
indentation, line ends, NUL padding) stays byte for byte as USGS wrote it.

Groups and keys are those of the Landsat Collection 2 data format control books (LSDS-1822,
-1414, -1415, -1416); Collection 1 and older files have other groups for the same keys.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal

from landsat_downsample.errors import UsageError
from landsat_downsample.formats.mtl.document import RECORD, Changes, Mtl, MtlEntry, MtlLayout, Record


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


def _encode(mtl: Mtl, entry: MtlEntry, new: str) -> bytes:
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
    needed = max(0, -int(value.normalize().as_tuple().exponent))
    decimals = pattern.group(1)
    if decimals is None:
        return new if needed or "." not in new else f"{value:.0f}"
    return f"{value:.{max(len(decimals), needed)}f}"


def _plain(value: str | int | float) -> str:
    return value if isinstance(value, str) else decimal(value, 9)


def _odl_group(layout: MtlLayout, name: str, record: Record) -> bytes:
    def line(indent: bytes, key: str, value: bytes) -> bytes:
        return indent + key.encode() + layout.equals + value + layout.newline

    lines = [line(layout.group_indent, "GROUP", name.encode())]
    for key, value in record.items():
        text = _odl_string(_clean(value)) if isinstance(value, str) else _plain(value).encode()
        lines.append(line(layout.entry_indent, key, text))
    lines.append(line(layout.group_indent, "END_GROUP", name.encode()))
    return b"".join(lines)


def _json_group(layout: MtlLayout, name: str, record: Record) -> bytes:
    # USGS writes every value of an MTL.json as a string, numbers too.
    members = [
        json.dumps(key).encode() + layout.equals + json.dumps(_clean(_plain(v))).encode() for key, v in record.items()
    ]
    outer = layout.newline + layout.group_indent
    inner = layout.newline + layout.entry_indent
    gap = b"" if layout.newline else b" " if layout.equals.endswith(b" ") else b""
    body = inner + (b"," + gap + inner).join(members) + outer
    return b"," + gap + outer + json.dumps(name).encode() + layout.equals + b"{" + body + b"}"


def _xml_group(layout: MtlLayout, name: str, record: Record) -> bytes:
    lines = [layout.group_indent + f"<{name}>".encode()]
    for key, value in record.items():
        text = _escaped(_clean(_plain(value))).encode("ascii", "xmlcharrefreplace")
        lines.append(layout.entry_indent + f"<{key}>".encode() + text + f"</{key}>".encode())
    lines.append(layout.group_indent + f"</{name}>".encode())
    return b"".join(line + layout.newline for line in lines)


_GROUPS = {"txt": _odl_group, "json": _json_group, "xml": _xml_group}


def decimal(value: float, places: int) -> str:
    """Shortest decimal text of a number to so many places: ``227.73``, ``300``, never ``-0``."""
    text = f"{value:.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
