"""DEFLATE streams made code by code (RFC 1951), right or wrong as no compressor makes them; zlib is asked too."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence

#: In which a block gives the lengths of the code that codes lengths.
ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)

#: A complete code for lengths of 0 to 15.
PLAIN = (4,) * 16 + (0,) * 3

#: Lengths of the codes of a block that has none of its own.
FIXED = (8,) * 144 + (9,) * 112 + (7,) * 24 + (8,) * 8, (5,) * 32

END = 256

#: A literal or the end; or (symbol of a length, extra bits, how many, symbol of a distance, extra bits, how many).
Token = int | tuple[int, int, int, int, int, int]


class Bits:
    """Bits of a stream, the first one lowest."""

    def __init__(self) -> None:
        self.value, self.count = 0, 0

    def put(self, value: int, count: int) -> None:
        self.value |= value << self.count
        self.count += count

    def code(self, codes: dict[int, str], symbol: int) -> None:
        for bit in codes[symbol]:
            self.put(int(bit), 1)

    def tokens(self, symbols: Sequence[int], distances: Sequence[int], tokens: Sequence[Token]) -> None:
        near, far = canonical(symbols), canonical(distances)
        for token in tokens:
            symbol, *rest = (token,) if isinstance(token, int) else token
            self.code(near, symbol)
            if rest:
                self.put(*rest[:2])
                self.code(far, rest[2])
                self.put(*rest[3:])

    def stream(self, data: bytes) -> bytes:
        """A zlib stream of these bits, with the checksum of what they are to give."""
        body = self.value.to_bytes(-(-self.count // 8), "little")
        return b"\x78\x9c" + body + zlib.adler32(data).to_bytes(4, "big")


def canonical(lengths: Sequence[int]) -> dict[int, str]:
    """The bits of each symbol of a code, be it complete or not; too many symbols share theirs."""
    codes, code = {}, 0
    for bits in range(1, 16):
        for symbol in [symbol for symbol, length in enumerate(lengths) if length == bits]:
            codes[symbol] = f"{code:0{bits}b}"[-bits:]
            code += 1
        code <<= 1
    return codes


def block(
    symbols: Sequence[int], distances: Sequence[int], tokens: Sequence[Token], own: Sequence[int] = PLAIN, last: int = 1
) -> Bits:
    """A block with codes of these lengths, whose lengths are coded by `own`."""
    bits = Bits()
    bits.put(last | 2 << 1, 3)
    bits.put(len(symbols) - 257, 5), bits.put(len(distances) - 1, 5), bits.put(len(own) - 4, 4)
    for symbol in ORDER[: len(own)]:
        bits.put(own[symbol], 3)
    codes = canonical(own)
    for length in itertools.chain(symbols, distances):
        bits.code(codes, length)
    bits.tokens(symbols, distances, tokens)
    return bits


def fixed(tokens: Sequence[Token]) -> Bits:
    """A block without codes of its own."""
    bits = Bits()
    bits.put(1 | 1 << 1, 3)
    bits.tokens(*FIXED, tokens)
    return bits


def by_zlib(stream: bytes, size: int) -> bytes | None:
    """What zlib makes of a stream that is to give so many bytes: these, or None where it refuses."""
    decoder = zlib.decompressobj()
    try:
        data = decoder.decompress(stream, size + 1)
    except zlib.error:
        return None
    return data if decoder.eof and len(data) == size else None
