"""The decoder that inflates two tiles side by side (_inflate.c): zlib is its oracle."""

from __future__ import annotations

import itertools
import tempfile
import zlib

import numpy as np
import pytest
from streams import END, PLAIN, block, by_zlib, fixed

from landsat_downsample.pipeline import tiles

pytestmark = pytest.mark.skipif(not tiles.available, reason="installed without a C compiler: GDAL reads")

ROWS, COLUMNS = 61, 53
SIZE = ROWS * COLUMNS
STRATEGIES = {
    "default": zlib.Z_DEFAULT_STRATEGY,
    "filtered": zlib.Z_FILTERED,
    "huffman": zlib.Z_HUFFMAN_ONLY,
    "runs": zlib.Z_RLE,
    "fixed": zlib.Z_FIXED,
}


def decode(streams: list[bytes], size: tuple[int, int] = (ROWS, COLUMNS)) -> list[bytes]:
    """Inflate the streams as one-byte tiles that lie side by side."""
    counts = np.array([len(stream) for stream in streams], np.uint64)
    offsets = np.cumsum(counts, dtype=np.uint64) - counts
    out = np.zeros((size[0], size[1] * len(streams)), np.uint8)
    with tempfile.TemporaryFile() as file:
        file.write(b"".join(streams))
        file.flush()
        layout = (1, *size, 1, 0, out.shape[1])
        tiles._native.decode(file.fileno(), 0, offsets, counts, layout, out)
    return [part.tobytes() for part in np.split(out, len(streams), axis=1)]


def samples(rng: np.random.Generator, size: int = SIZE) -> dict[str, bytes]:
    """Bytes of every nature."""
    steps = rng.normal(0, 9, size).astype(np.int16).astype(np.uint8)
    motif = rng.integers(0, 256, 8 * size, np.uint8)
    periods = [motif[:p].tolist() * (40 // p + 2) for p in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15, 16, 17, 31)]
    return {
        "nothing but zeros": bytes(size),
        "noise": motif[:size].tobytes(),
        "small steps": steps.tobytes(),
        # Literals of up to 15 bits: each half as frequent as the one before.
        "codes of all lengths": rng.geometric(0.5, size).astype(np.uint8).tobytes(),
        "few values": rng.choice(np.array([0, 255, 7], np.uint8), size).tobytes(),
        "runs": np.repeat(motif, rng.integers(1, 600, len(motif)))[:size].tobytes(),
        "periods": bytes((list(itertools.chain(*periods)) * size)[:size]),
        "repeated from afar": (steps[: size // 2 + 1].tobytes() * 2)[:size],
    }


def compressed(data: bytes, level: int, strategy: int, window: int = 15, memory: int = 8) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, window, memory, strategy)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_every_stream_gives_its_bytes(level, strategy):
    data = list(samples(np.random.default_rng(5)).values())
    for window, memory in ((15, 8), (9, 1)):  # one block, or many
        streams = [compressed(part, level, STRATEGIES[strategy], window, memory) for part in data]
        for count in (1, 2, 3, len(data)):
            assert decode(streams[:count]) == data[:count]


def test_blocks_of_all_kinds_in_one_stream():
    rng = np.random.default_rng(7)
    parts = list(samples(rng, 4000).values())
    packer = zlib.compressobj(6)
    stream = b"".join(packer.compress(part) + packer.flush(zlib.Z_FULL_FLUSH) for part in parts) + packer.flush()
    whole = b"".join(parts)
    assert decode([stream, stream, zlib.compress(whole)], (1, len(whole))) == [whole] * 3


def test_a_stream_of_another_length_is_damaged():
    for wrong in (SIZE - 1, SIZE + 1, 2 * SIZE + 700, 0):
        for data in samples(np.random.default_rng(8), wrong).values():
            with pytest.raises(ValueError, match="tile 1 is damaged"):
                decode([zlib.compress(bytes(SIZE)), zlib.compress(data)])


@pytest.mark.parametrize("seed", range(8))
def test_damage_is_reported_or_harmless(seed):
    """Flipped bits, bytes lost and put in: the bytes are right or there are none, whatever stands beside."""
    rng = np.random.default_rng(seed)
    data = list(samples(rng).values())
    whole = [compressed(part, 6, zlib.Z_DEFAULT_STRATEGY, *rng.choice([(15, 8), (10, 1)])) for part in data]
    found = set()
    for _ in range(300):
        k = int(rng.integers(len(whole)))
        stream = damaged(whole[k], rng)
        try:
            first, _ = decode([stream, whole[k - 1]])
        except ValueError:
            found.add("told")
        else:
            found.add("harmless")
            assert first == data[k]
    assert "told" in found


def damaged(stream: bytes, rng: np.random.Generator) -> bytes:
    """One to three changes, most of them near the start, where the codes are."""
    changed = bytearray(stream)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(min(len(changed), 90 if rng.random() < 0.6 else len(changed))))
        kind = rng.integers(4)
        if kind == 0:
            changed[at] ^= 1 << rng.integers(8)
        elif kind == 1:
            changed[at] = rng.integers(256)
        elif kind == 2:
            del changed[at:]
        else:
            changed[at:at] = rng.integers(0, 256, 3, np.uint8).tobytes()
        if not changed:
            return b"x"
    return bytes(changed)


def test_the_checksum_is_compared():
    stream = bytearray(zlib.compress(np.arange(SIZE, dtype=np.uint16).astype(np.uint8).tobytes()))
    stream[-1] ^= 1
    with pytest.raises(ValueError, match="tile 0 is damaged"):
        decode([bytes(stream)])


@pytest.mark.parametrize("beyond", [*range(67), 703, 704, 735])
def test_checksums_of_all_lengths(beyond):
    """Of rows of 32 bytes, 23 at a time, and what is left; the greatest sums, and bytes of every value."""
    noise = np.random.default_rng(beyond).bytes(736 * 8 + beyond)
    for blocks in (0, 1, 2, 7, 8):
        size = max(736 * blocks + beyond, 1)
        for data in (noise[:size], b"\xff" * size, bytes(size)):
            assert decode([zlib.compress(data, 1)], (1, size)) == [data]


def code(size: int, **lengths: int) -> list[int]:
    """Lengths of the codes of symbols, given as ``s65=1``."""
    return [lengths.get(f"s{symbol}", 0) for symbol in range(size)]


A, TWO, MATCH = 65, {"s65": 1, "s256": 1}, {"s65": 2, "s256": 2, "s257": 1}
AAAA = [A, (257, 0, 0, 0, 0, 0), END]
CODES = {
    "complete": (block(code(257, **TWO), [0], [A, END]), b"A", True),
    "one distance of one bit": (block(code(258, **MATCH), [1], AAAA), b"AAAA", True),
    "two distances": (block(code(258, **MATCH), [1, 1], AAAA), b"AAAA", True),
    "one distance of two bits": (block(code(258, **MATCH), [2], AAAA), b"AAAA", False),
    "two distances of two bits": (block(code(258, **MATCH), [2, 2], AAAA), b"AAAA", False),
    "three distances of one bit": (block(code(258, **MATCH), [1, 1, 1], AAAA), b"AAAA", False),
    "symbols that leave bits": (block(code(257, s65=2, s256=2), [0], [A, END]), b"A", False),
    "symbols that leave long ones": (block(code(257, s65=1, s256=15), [0], [A, END]), b"A", False),
    "no end of the block": (block(code(257, s65=1, s66=1), [0], [A]), b"A", False),
    "all symbols": (block([8] * 226 + [9] * 60, [0], [A, END]), b"A", True),
    "287 symbols": (block([8] * 225 + [9] * 62, [0], [A, END]), b"A", False),
    "30 distances": (block(code(258, **MATCH), [4] * 2 + [5] * 28, AAAA), b"AAAA", True),
    "31 distances": (block(code(258, **MATCH), [4] + [5] * 30, AAAA), b"AAAA", False),
    "lengths that leave bits": (block(code(257, **TWO), [0], [A, END], (*PLAIN[:15], 0, 0, 0, 0)), b"A", False),
    "one length": (block([1] * 257, [1], [A, END], (0, 1) + (0,) * 17), b"A", False),
    "fixed": (fixed(AAAA), b"AAAA", True),
    "a fixed symbol of no meaning": (fixed([A, (286, 0, 0, 0, 0, 0), END]), b"A" * 259, False),
    "a fixed distance of no meaning": (fixed([A, (257, 0, 0, 30, 0, 0), END]), b"AAAA", False),
}


@pytest.mark.parametrize("name", CODES)
def test_codes_are_taken_that_zlib_takes(name):
    bits, data, good = CODES[name]
    for stream in (bits.stream(data), bits.stream(data) + b"beyond"):
        assert by_zlib(stream, len(data)) == (data if good else None)
        beside = zlib.compress(bytes(len(data)))
        if good:
            assert decode([beside, stream], (1, len(data))) == [bytes(len(data)), data]
            continue
        with pytest.raises(ValueError, match="tile 1 is damaged"):
            decode([beside, stream], (1, len(data)))
