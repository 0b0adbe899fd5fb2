"""A value as a screen or a notebook shows it: lines, a table, lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from landsat_downsample.model.safe_text import plain

_LEFT = "text-align:left;vertical-align:top"


@dataclass(frozen=True, slots=True)
class Shown:
    """Texts to show, safe whatever they hold; a row has a cell for each column, whose names may be left out."""

    above: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    below: tuple[str, ...] = ()

    def text(self) -> str:
        """Plain lines, the columns aligned.

        >>> print(Shown(("two bands",), ("band", "file"), (("SR_B4", "a.TIF"), ("QA_PIXEL", "b.TIF"))).text())
        two bands
        band      file
        SR_B4     a.TIF
        QA_PIXEL  b.TIF
        """
        cells = [[plain(cell) for cell in row] for row in (self.columns, *self.rows) if row]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        table = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)
        return "\n".join([*map(plain, self.above), *table, *map(plain, self.below)])

    def html(self) -> str:
        """A table between lines, for Jupyter; it is not wider than its words."""
        head = "".join(f"<th style='{_LEFT}'>{_safe(name)}</th>" for name in self.columns)
        rows = (
            "<tr>" + "".join(f"<td style='{_LEFT}'>{_safe(cell)}</td>" for cell in row) + "</tr>" for row in self.rows
        )
        head = f"<thead><tr>{head}</tr></thead>" if head else ""
        table = f"<table>{head}<tbody>{''.join(rows)}</tbody></table>" if self.rows else ""
        first, rest = self.above[:1], self.above[1:]
        lines = "".join([*(f"<strong>{_safe(line)}</strong>" for line in first), _lines(rest)])
        return f"<div>{lines}{table}{_lines(self.below)}</div>"


def _safe(text: str) -> str:
    from html import escape  # a notebook alone needs its table of characters

    return escape(plain(text))


def _lines(texts: Iterable[str]) -> str:
    return "".join(f"<div>{_safe(text)}</div>" for text in texts)
