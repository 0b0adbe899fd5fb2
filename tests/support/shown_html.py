"""What a browser would show of the HTML of a value: cells of its tables, and all of its text."""

from __future__ import annotations

from html.parser import HTMLParser


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self._in_cell = False

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self._in_cell = tag in ("td", "th")

    def handle_endtag(self, tag):
        self._in_cell = False

    def handle_data(self, data):
        self.words.append(data)
        if self._in_cell:
            self.rows[-1][-1] += data


def _read(html: str) -> _Cells:
    parser = _Cells()
    parser.feed(html)
    return parser


def html_rows(html: str) -> list[list[str]]:
    """Rows of its tables, headings among them."""
    return _read(html).rows


def html_words(html: str) -> list[str]:
    """Its texts, one by one."""
    return _read(html).words
