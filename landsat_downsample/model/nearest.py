"""The known word that a mistyped one is most like."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest a known word, to follow a mistyped one in a message; nothing where none is like it.

    >>> did_you_mean("--facter", ["--factor", "--size"]), did_you_mean("fly", ["run", "plan"])
    (' (did you mean --factor?)', '')
    """
    from difflib import get_close_matches  # only after a mistake

    words = {name.lower(): name for name in known}
    word = word.lower()
    begun = [name for name in words if len(word.strip("-")) > 1 and name.startswith(word)]
    found = begun or get_close_matches(word, words, n=1)
    return f" (did you mean {words[found[0]]}?)" if found else ""
