"""Checksums as STAC writes them: hexadecimal multihashes. Pure."""

from __future__ import annotations

_SHA256 = "1220"
_MULTIHASHES = {_SHA256: ("sha256", 64), "1340": ("sha512", 128), "d50110": ("md5", 32), "1114": ("sha1", 40)}


def parse_multihash(text: str | None) -> tuple[str, str] | None:
    """Split a hexadecimal multihash into (algorithm, digest); None if absent or of another algorithm.

    >>> parse_multihash("d50110" + "0" * 32)
    ('md5', '00000000000000000000000000000000')
    """
    text = (text or "").lower()
    for prefix, (name, length) in _MULTIHASHES.items():
        if text.startswith(prefix) and len(text) == len(prefix) + length:
            return name, text[len(prefix) :]
    return None


def multihash(sha256: str) -> str:
    """The multihash of a SHA-256, given as hexadecimal digits."""
    return _SHA256 + sha256
