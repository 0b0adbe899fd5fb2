"""What is run on made-up input, and must give what zlib and NumPy give, or be refused where they refuse."""

from __future__ import annotations

import ctypes
import random
import tempfile
import zlib
from contextlib import suppress
from fractions import Fraction

import numpy as np
import tables
from streams import END, PLAIN, block, fixed

from landsat_downsample.errors import ReadError
from landsat_downsample.formats import tiff
from landsat_downsample.formats.tiff_layout import Directory
from landsat_downsample.model.cells import Cells, Overlay
from landsat_downsample.model.ties import Ties
from landsat_downsample.pipeline import tiles as tiles_module
from landsat_downsample.pipeline.tiles import TileRows
from landsat_downsample.reduce.packed_shares import PackedShares, share_areas
from landsat_downsample.storage.local_file import LocalFile

#: Numbers at which something ends.
EDGES = [0, 1, 2, 7, 8, 15, 16, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def changed(data: bytes, rng: random.Random, other: bytes, head: int) -> bytes:
    """Some bytes, most of them of the first `head`, changed, lost, put in or taken from elsewhere."""
    made = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(min(len(made), head) if rng.random() < 0.7 else len(made))
        match rng.randrange(6):
            case 0 | 1:
                made[at] ^= 1 << rng.randrange(8)
            case 2:
                made[at] = rng.randrange(256)
            case 3:
                made[at : at + 4] = rng.choice(EDGES).to_bytes(4, "little")
            case 4:
                start = rng.randrange(len(other) + 1)
                made[at : at + rng.randrange(9)] = other[start : start + rng.randrange(40)]
            case _:
                del made[at : at + rng.choice([1, 1, 2, 4, len(made)])]
        made = made or bytearray(b"\0")
    return bytes(made[: 1 << 17])


def samples(rng: random.Random, size: int) -> list[bytes]:
    noise, few = rng.randbytes(size), bytes(rng.choices(b"\0\1\7\xff", k=size))
    runs = b"".join(bytes([rng.randrange(256)]) * rng.randrange(1, 400) for _ in range(size // 100 + 1))[:size]
    steps = bytes(min(255, int(rng.expovariate(0.1))) for _ in few)
    return [bytes(size), noise, few, runs, (noise[:33] * size)[:size], steps]


class Inflate:
    """A zlib stream in one lane, a good one in the other: its size in 3 bytes, then its bytes."""

    BESIDE = bytes(range(256)) * 5
    STREAM = zlib.compress(BESIDE, 9)

    def __init__(self, kernel: ctypes.CDLL) -> None:
        self.kernel, self.accepted, libc = kernel, 0, ctypes.CDLL(None)
        kernel.pair_new.restype = libc.malloc.restype = ctypes.c_void_p
        kernel.pair_begin.argtypes = [
            *[ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64]
        ]
        kernel.pair_run.argtypes = libc.free.argtypes = [ctypes.c_void_p]
        kernel.adler32_of.argtypes, kernel.adler32_of.restype = [ctypes.c_char_p, ctypes.c_int64], ctypes.c_uint32
        kernel.pair_take.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
        libc.malloc.argtypes = [ctypes.c_size_t]
        self.libc, self.pair = libc, kernel.pair_new()

    def seeds(self, rng: random.Random) -> list[bytes]:
        made = [self.sized(len(self.BESIDE), self.STREAM)]
        for data in (part for size in (1, 40, 3000) for part in samples(rng, size)):
            for level, strategy in ((0, 0), (1, 0), (9, 0), (6, zlib.Z_FIXED), (6, zlib.Z_RLE)):
                packer = zlib.compressobj(level, zlib.DEFLATED, 15, rng.choice([1, 8]), strategy)
                half = packer.compress(data[: len(data) // 2]) + packer.flush(zlib.Z_FULL_FLUSH)
                made.append(self.sized(len(data), half + packer.compress(data[len(data) // 2 :]) + packer.flush()))
        return made

    @staticmethod
    def sized(size: int, stream: bytes) -> bytes:
        return size.to_bytes(3, "little") + stream

    def changed(self, rng: random.Random, corpus: list[bytes]) -> bytes:
        if rng.random() < 0.1:
            return self.composed(rng)
        data = changed(rng.choice(corpus), rng, rng.choice(corpus)[3:], 120)
        if rng.random() < 0.5:  # to the size that it gives now
            size, _ = self.by_zlib(data[3:], 1 << 18)
            return data if size is None else self.sized(len(size), data[3:])
        return data

    def composed(self, rng: random.Random) -> bytes:
        """A block of codes that may be none, with nothing else wrong."""

        def lengths(count: int, used: list[int]) -> list[int]:
            bits = rng.choice([[1] * 20, [1, 2, 3, 3], [2, 2, 2, 2], [4] * 16, [1, 15], [2, 2], [1, 2, 2], [3, 5, 9]])
            made = [0] * count
            for symbol, length in zip(used, bits, strict=False):
                made[symbol] = length
            return made

        used = [*rng.sample(range(286), rng.randrange(1, 5)), END]
        far = sorted(rng.sample(range(30), rng.choice([0, 1, 1, 2, 4])))
        near, distances = lengths(rng.choice([286, 286, 287]), rng.sample(used, len(used))), lengths(30, far)
        literals = [symbol for symbol in used if symbol < END and near[symbol]]
        tokens = [rng.choice(literals) for _ in range(rng.randrange(5))] if literals else []
        with suppress(KeyError, IndexError):
            bits = block(near, distances, [*tokens, END], rng.choice([PLAIN, PLAIN, (*PLAIN[:15], 0, 0, 0, 0)]))
            return self.sized(len(tokens), bits.stream(bytes(tokens)))
        return self.sized(len(tokens), fixed([*tokens, END]).stream(bytes(tokens)))

    @staticmethod
    def by_zlib(stream: bytes, size: int) -> tuple[bytes | None, bytes]:
        """What a stream gives, and what is behind it, checksum and all; None where it is refused."""
        raw = zlib.decompressobj(-15)
        try:
            zlib.decompressobj().decompress(stream[:6])  # the head, and the name of a dictionary that it may ask for
            data = raw.decompress(stream[2:], size + 1)
        except zlib.error:
            return None, b""
        good = len(stream) > 2 and raw.eof and len(data) <= size and len(raw.unused_data) >= 4
        return data if good else None, raw.unused_data

    def run(self, data: bytes) -> None:
        size, stream = int.from_bytes(data[:3], "little") & 0x3FFFF, data[3:]
        ours, checksum = self.by_kernel(stream, size)
        known, rest = self.by_zlib(stream, size)
        if known is not None and len(known) != size:
            known = None
        assert ours == known, f"zlib {'takes' if known is not None else 'refuses'} it, the kernel does not"
        if known is None:
            return
        self.accepted += 1
        assert checksum == int.from_bytes(rest[:4], "big"), "another checksum is read"
        assert self.kernel.adler32_of(known, size) == zlib.adler32(known), "another checksum is made"

    def by_kernel(self, stream: bytes, size: int) -> tuple[bytes | None, int]:
        padding, checksum = 320, ctypes.c_uint32()
        pieces = [(stream, size), (self.STREAM, len(self.BESIDE))]
        rooms = [[self.libc.malloc(size + padding) for size in (len(given), wanted)] for given, wanted in pieces]
        for (given, _), (stored, _) in zip(pieces, rooms, strict=True):
            ctypes.memmove(stored, given, len(given))
        for lane, ((given, wanted), (stored, out)) in enumerate(zip(pieces, rooms, strict=True)):
            self.kernel.pair_begin(self.pair, lane, stored, len(given), out, wanted)
        idle, at_work, ended = range(3)
        found = [at_work, at_work]
        while self.kernel.pair_run(self.pair):
            for lane in range(2):
                state = self.kernel.pair_take(self.pair, lane, ctypes.byref(ctypes.c_uint32() if lane else checksum))
                if state not in (idle, at_work):
                    found[lane] = state
        made = [ctypes.string_at(out, wanted) for (_, wanted), (_, out) in zip(pieces, rooms, strict=True)]
        for room in (room for pair in rooms for room in pair):
            self.libc.free(room)
        assert found[1] == ended and made[1] == self.BESIDE, "the stream in the other lane is not what it was"
        return (made[0] if found[0] == ended else None), checksum.value


class Tiles:
    """A TIFF: its table of tiles, the tiles, and the sums of its cells."""

    #: Pixels that are compared.
    MOST = 1 << 18

    def __init__(self, kernel: ctypes.CDLL) -> None:
        self.accepted, self.file = 0, tempfile.NamedTemporaryFile(buffering=0)  # noqa: SIM115

    def seeds(self, rng: random.Random) -> list[bytes]:
        made = []
        layouts = ((37, 53), (16, 16), 2, 6), ((16, 16), (16, 32), 1, 0), ((70, 9), (32, 16), 2, 9)
        for shape, side, predictor, level in layouts:
            for dtype in (np.uint8, np.uint16):
                values = np.random.default_rng(rng.randrange(99)).integers(0, 40, shape).cumsum(1).astype(dtype)
                made.append(tables.image(values, side, predictor=predictor, level=level))
        return [*made, tables.tiled((32, 32), (16, 16), [b"", zlib.compress(bytes(512)), b"", b""])]

    def changed(self, rng: random.Random, corpus: list[bytes]) -> bytes:
        return changed(rng.choice(corpus), rng, rng.choice(corpus), 400)

    def run(self, data: bytes) -> None:
        try:
            layout = tiff.check_complete(lambda start, length: data[start : start + length], len(data))
        except ReadError:
            return
        image = layout.directories[0]
        dtype = tiles_module._DTYPES.get((image.bits, image.sample_format))
        if dtype is None or not tiles_module.supported(image) or image.shape[0] * image.shape[1] > self.MOST:
            return
        if image.blocks * image.decoded_size(0) > 8 * self.MOST:
            return
        self.file.truncate(0)
        self.file.seek(0)
        self.file.write(data)
        expected = by_numpy(data, image, np.dtype(dtype))
        file = LocalFile(self.file.name, 0, len(data), layout)
        with tiles_module.open_tiles(file, "fuzz", np.dtype(dtype).name, lambda: 7) as rows:
            same(expected, lambda: rows.read(0, image.shape[0]))
            if rows.dtype.itemsize == 2:
                cells = [Cells.cut(side, -(-2 * side // 5), Fraction(5, 2)) for side in image.shape]
                overlay = Overlay(*cells)
                same(sums(expected, overlay), lambda: added(rows, overlay))
        self.accepted += expected is not None


def added(rows: TileRows, overlay: Overlay) -> list[np.ndarray]:
    """Weights and sums of the cells, by the kernel."""
    parts = [(weights.copy(), totals.copy()) for _, weights, totals in rows.sums(overlay, 7)]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def same(expected: object, call) -> None:
    try:
        got = call()
    except ReadError:
        assert expected is None, "the kernel refuses what zlib takes"
        return
    assert expected is not None, "the kernel takes what zlib refuses"
    np.testing.assert_array_equal(got, expected)


def by_numpy(data: bytes, image: Directory, dtype: np.dtype) -> np.ndarray | None:
    """The pixels by zlib and NumPy, or None where a tile is damaged."""
    (rows, columns), across = image.block_shape, image.grid[1]
    out = np.full((image.grid[0] * rows, across * columns), 7, dtype)
    try:
        tiff.check_blocks(lambda start, length: data[start : start + length], image)
    except ReadError:
        return None
    for index in np.flatnonzero(image.counts).tolist():
        stored = data[int(image.offsets[index]) :][: int(image.counts[index])]
        tile = np.frombuffer(zlib.decompressobj().decompress(stored), dtype).reshape(rows, columns)
        top, left = index // across * rows, index % across * columns
        made = np.cumsum(tile, 1, dtype) if image.predictor == 2 else tile
        out[top : top + rows, left : left + columns] = made
    return out[: image.shape[0], : image.shape[1]]


def sums(values: np.ndarray | None, overlay: Overlay) -> list[np.ndarray] | None:
    """Weights and sums of the cells, by matrix products."""
    if values is None:
        return None
    axes = overlay.rows, overlay.columns
    down, across = (np.stack([weights(cells, cell) for cell in range(cells.size)]) for cells in axes)
    good = values != 7
    return [down @ part @ across.T for part in (good.astype(np.int64), np.where(good, values, 0).astype(np.int64))]


def weights(cells: Cells, cell: int) -> np.ndarray:
    made, (start, stop) = np.zeros(cells.pixels, np.int64), (cells.start[cell], cells.stop[cell])
    made[start:stop] = cells.unit
    if stop > start:
        made[stop - 1], made[start] = cells.tail[cell], cells.head[cell]
    return made


class Shares:
    """Words of shares: rows, columns, cells, those of a row (2 bytes each), how long each tile is (4), the words."""

    #: Cells and pixels that are compared.
    MOST = 1 << 14

    def __init__(self, kernel: ctypes.CDLL) -> None:
        self.accepted = 0

    def seeds(self, rng: random.Random) -> list[bytes]:
        made = []
        for shape, sides in (
            ((37, 53), (6, 7)),
            ((19, 301), (3, 2)),
            ((23, 290), (16, 15)),
            ((9, 47), (1, 40)),
            ((31, 33), (9, 1)),
        ):
            ties = tied(rng, shape, sides)
            high, wide = (max(2, -(-n // side)) for n, side in zip(shape, sides, strict=True))
            window = rng.choice([(-2, high + 2, -2, wide + 2), (0, high, 0, wide), (1, high, 1, wide)])
            shares = share_areas(ties, (0, shape[0], 0, shape[1]), window)
            tiles = np.diff(np.frombuffer(shares.begins, np.int64)).astype("<u4").tobytes()
            facts = np.array([*shape, shares.cells, shares.wide], "<u2").tobytes()
            made.append(facts + tiles + shares.words)
        return made

    def changed(self, rng: random.Random, corpus: list[bytes]) -> bytes:
        return changed(rng.choice(corpus), rng, rng.choice(corpus), 400)

    def run(self, data: bytes) -> None:
        rows, columns, cells, wide = np.frombuffer(data[:8].ljust(8, b"\0"), "<u2").tolist()
        if rows * columns > self.MOST or cells > self.MOST:
            return
        lengths = np.frombuffer(data[8 : 8 + 4 * -(-columns // 256)].ljust(4 * -(-columns // 256), b"\0"), "<u4")
        begins = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).tobytes()
        words = data[8 + 4 * len(lengths) :]
        shares = PackedShares(words[: len(words) // 2 * 2], begins, (rows, columns), cells, wide)
        try:
            known = shares.listed()
        except BufferError:
            known = None
        rng = np.random.default_rng(rows)
        values = np.repeat(rng.integers(0, 4, (rows, -(-columns // 3))).astype(np.uint16), 3, axis=1)[
            :, :columns
        ].copy()
        values[1::2] += 9  # rows in which all pixels count
        for make, expected in (
            (lambda: shares.moments(values, None, 0), lambda: moments_of(known, cells, values)),
            (lambda: shares.sums(values, None, 0), lambda: moments_of(known, cells, values)[:2]),
            (
                lambda: shares.whole(values.astype(np.int32), None, 0, moments=True)[:3],
                lambda: moments_of(known, cells, values)[:3],
            ),
            (lambda: shares.pairs(values, np.zeros(1 << 16, np.int64)), lambda: pairs_of(known, values)),
        ):
            try:
                got = make()
            except BufferError:
                assert known is None, "what is listed is not added up"
                continue
            if known is not None:
                for one, other in zip(got, expected(), strict=True):
                    np.testing.assert_array_equal(one, other)
        self.accepted += known is not None


def tied(rng: random.Random, shape: tuple[int, int], sides: tuple[int, int]) -> Ties:
    """Tie points of pixels on cells that have such sides, in pixels, and lie askew."""
    bits, step = 16, rng.choice([4, 8, 16])
    i, j = (np.arange(-(-n // step) + 1) * step for n in shape)
    turned, bent = (rng.uniform(-0.4, 0.4) for _ in range(2))
    down = np.add.outer(i, turned * j) / sides[0] + bent * 1e-3 * np.multiply.outer(i, j) / sides[0]
    right = np.add.outer(bent * i, j) / sides[1]
    down, right = (np.rint(axis * (1 << bits)).astype(np.int64) for axis in (down, right))
    return Ties(shape, down, right, bits, step)


def every_share(shares) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel, cell and weight of all."""
    before = np.cumsum(shares.run_length) - shares.run_length
    offset = np.arange(int(shares.run_length.sum())) - np.repeat(before, shares.run_length)
    whole = np.repeat(shares.run_start, shares.run_length) + offset, np.repeat(shares.run_cell, shares.run_length)
    pixel, cell = (np.concatenate(pair) for pair in zip(whole, (shares.part_pixel, shares.part_cell), strict=True))
    return pixel, cell, np.concatenate([np.full(len(offset), 4096), shares.part_weight])


def moments_of(shares, cells: int, values: np.ndarray) -> tuple[np.ndarray, ...]:
    """What `PackedShares.moments` gives of pixels that count where they are not 0."""
    pixel, cell, weight = every_share(shares)
    value = values.ravel()[pixel].astype(np.int64)
    pixel, cell, weight, value = (part[value > 0] for part in (pixel, cell, weight, value))
    made = np.zeros((3, cells), np.int64)
    for total, part in zip(made, (weight, weight * value, weight * value * value), strict=True):
        np.add.at(total, cell, part)
    least, most = np.full(cells, 65535, np.int64), np.zeros(cells, np.int64)
    np.minimum.at(least, cell, value)
    np.maximum.at(most, cell, value)
    return *made, least, most


def pairs_of(shares, values: np.ndarray) -> tuple[np.ndarray, ...]:
    """What `PackedShares.pairs` gives."""
    pixel, cell, weight = every_share(shares)
    both, at = np.unique(np.stack([cell, values.ravel()[pixel]]), axis=1, return_inverse=True)
    return *both, np.bincount(at.ravel(), weight, both.shape[1]).astype(np.int64)


class Calls:
    """Every entry of the extension with arguments that may agree; its input seeds them."""

    def __init__(self, kernel: ctypes.CDLL) -> None:
        self.accepted = 0

    def seeds(self, rng: random.Random) -> list[bytes]:
        return [rng.randbytes(8) for _ in range(20)]

    def changed(self, rng: random.Random, corpus: list[bytes]) -> bytes:
        return rng.randbytes(8)

    def run(self, data: bytes) -> None:
        made = Arguments(random.Random(data))
        name, arguments = made.call()
        with suppress(BufferError, ValueError, OverflowError, MemoryError, EOFError, OSError):
            getattr(tiles_module._native, name)(*arguments)
            self.accepted += 1


class Arguments:
    """Arguments that agree, but for one in some."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.high, self.wide = rng, rng.randrange(1, 40), rng.randrange(1, 90)
        self.slip = rng.choice([0, 0, 0.03, 0.2])

    def number(self, right: int) -> int:
        if self.rng.random() >= self.slip:
            return right
        return self.rng.choice([right + 1, right - 1, -right, *EDGES, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63)])

    def room(self, items: int, dtype: type = np.int64, *, full: bool = False) -> np.ndarray:
        count = max(min(self.number(items), 1 << 17), 0)
        if not full:
            return np.zeros(count, dtype)
        return np.frombuffer(bytearray(self.rng.randbytes(count * np.dtype(dtype).itemsize)), dtype)

    def axis(self, pixels: int) -> tuple[int, tuple]:
        ratio = Fraction(self.rng.randrange(1, 50), self.rng.randrange(1, 9))
        count = max(min(-(-pixels // ratio) + self.rng.randrange(-1, 3), 60), 1)
        cells = Cells.cut(pixels, count, ratio, Fraction(self.rng.choice([0, 0, 1, -3]), 2))
        table = np.stack([cells.start, cells.stop, cells.head, cells.tail]).astype(np.int64)
        if self.rng.random() < self.slip:
            table.flat[self.rng.randrange(table.size)] = self.number(1)
        return count, (table, self.number(cells.unit), self.number(cells.block if self.rng.random() < 0.5 else 0))

    def pixels(self) -> np.ndarray:
        codes = np.array(self.rng.choices([1, 2, 21824, 65535], k=4), np.uint16)
        return codes[self.room(self.high * self.wide, np.uint8, full=True) % self.rng.choice([1, 2, 4])]

    def call(self) -> tuple[str, tuple]:
        (down, y), (across, x) = self.axis(self.high), self.axis(self.wide)
        cells = down * across
        others = {
            "quality": lambda: self.quality(y, x, down, across),
            "share_areas": self.shares,
            "judge_pairs": lambda: self.pairs(cells),
            "index_pixels": self.index,
            "whole_sums": lambda: self.whole(y, x, cells),
        }
        match self.rng.choice([*others, "sums", "means", "histogram", "tally", "decode_sums", "decode"]):
            case name if name in others:
                return name, others[name]()
            case "sums":
                ok = self.rng.choice([None, self.room(self.high * self.wide, np.uint8, full=True)])
                facts = self.number(self.wide), self.number(self.rng.choice([0, 0x8000])), self.number(-1)
                return "sums", (
                    self.pixels(),
                    ok,
                    *facts,
                    y,
                    x,
                    self.room(cells),
                    self.room(cells),
                    *self.moments(cells),
                )
            case "means":
                totals, counts = (self.room(cells, np.int32, full=True).astype(np.int64) for _ in range(2))
                rule = np.array([0, 0, 0, 65535])
                return "means", (totals, counts, self.room(cells, np.uint16), rule)
            case "histogram":
                chosen = np.array([self.number(self.rng.randrange(cells)) for _ in range(3)])
                ranks = np.full(1 << 16, self.number(1) % (1 << 31), np.int32)
                given = self.pixels(), self.number(self.wide), y, x
                return "histogram", (*given, chosen, ranks, self.room(6, np.float64))
            case "tally":
                return "tally", (self.pixels(), self.room(1 << 16))
            case name:
                return name, self.tiles(name, y, x, cells)

    def shares(self) -> tuple:
        sides = self.rng.uniform(0.05, 40), self.rng.uniform(0.05, 40)
        ties = tied(self.rng, (self.high, self.wide), sides)
        for axis in (ties.down, ties.right):
            if self.rng.random() < self.slip:
                axis.flat[self.rng.randrange(axis.size)] = self.number(1) % (1 << 40)
        right = ties.right[: self.number(len(ties.right))]
        facts = self.number(ties.right.shape[1]), self.number(ties.step), self.number(ties.bits)
        left = self.number(0)
        pixels = self.number(self.rng.randrange(3)), self.number(self.high), left, self.number(self.wide)
        window = tuple(
            self.number(value) for value in (-1, 1 + int(self.high / sides[0]), -1, 1 + int(self.wide / sides[1]))
        )
        return ties.down, right, *facts, pixels, window

    def index(self) -> tuple:
        ok = self.rng.choice([None, self.room(self.high * self.wide, np.uint8, full=True)])
        terms = [self.rng.choice([0.0, 11.0, -160000.0, 2.0**53, 2.0**60, float("nan")]) for _ in range(8)]
        limits = self.rng.choice([(-1.0, 1.0, 2.0**24), (-1.0, 1.0, 2.0**40), (float("nan"), 1.0, 1.0)])
        formula = np.array([*terms, *limits])[: self.number(11)]
        nodata = np.array([self.number(0) % (1 << 62) for _ in range(3)])[: self.number(3)]
        bands = self.pixels(), self.pixels(), self.pixels()
        return *bands, ok, formula, nodata, self.rng.random() < 0.5, self.room(self.high * self.wide, np.int32)

    def whole(self, y: tuple, x: tuple, cells: int) -> tuple:
        ok = self.rng.choice([None, self.room(self.high * self.wide, np.uint8, full=True)])
        values = self.room(self.high * self.wide, np.int32, full=True)
        return values, ok, self.number(self.wide), self.number(-7), y, x, self.room(cells), self.room(cells)

    def pairs(self, cells: int) -> tuple:
        meaning = np.resize(np.frombuffer(self.rng.randbytes(1600), np.uint8), self.number(1 << 20) & 0x1FFFFF)
        rules = np.array(
            [[self.rng.randrange(3), 1 << k % 16, 1 << k % 16] for k in range(self.rng.randrange(33))], np.int64
        )
        given = (
            np.sort(self.room(30, np.uint16, full=True).astype(np.int64) % max(self.number(cells), 1)),
            self.room(30, np.uint16, full=True),
        )
        weights, planes = self.room(30, np.uint16, full=True).astype(np.int64), self.rng.randrange(9)
        facts = tuple(self.number(value) for value in (self.rng.randrange(3), 1, 1, 2, 4, planes))
        least, centres = (self.rng.choice([None, room]) for room in (self.room(cells), self.room(cells, np.uint16)))
        out = self.room(cells, np.uint16), self.room(planes * cells, np.uint8)
        return *given, weights, meaning, rules.reshape(-1, 3), facts, least, self.room(cells), centres, *out

    def quality(self, y: tuple, x: tuple, down: int, across: int) -> tuple:
        first, planes, levels = self.rng.randrange(3), self.rng.randrange(9), self.rng.randrange(33)
        meaning = np.resize(np.frombuffer(self.rng.randbytes(1600), np.uint8), self.number(1 << 20) & 0x1FFFFF)
        rules = np.array([[self.rng.randrange(3), 1 << k % 16, 1 << k % 16] for k in range(32)], np.int64)
        facts = tuple(self.number(value) for value in (self.rng.randrange(3), 1, 1, 2, 4, planes))
        axes = np.array([self.number(0)] * (down + across) + [self.number(1 << 24) % (1 << 62)] * (down + across))
        least = self.rng.choice([None, self.room(down * across)])
        room = self.room((first + down) * across, np.uint16)
        out = self.room(1 << 16), self.number(first), room, self.room(planes * len(room), np.uint8)
        given = self.pixels(), self.number(self.wide), y, x, meaning, rules[:levels], facts
        return *given, least, axes, self.number(0), *out

    def tiles(self, name: str, y: tuple, x: tuple, cells: int) -> tuple:
        high, wide = self.rng.randrange(1, 40), self.rng.randrange(1, 90)
        count = -(-self.high // high) * -(-self.wide // wide)
        offsets, counts = (np.array([self.number(0) % (1 << 64) for _ in range(count)], np.uint64) for _ in range(2))
        item = self.rng.choice([1, 2]) if name == "decode" else 2
        layout = tuple(self.number(value) for value in (item, high, wide, self.rng.choice([1, 2]), 7, self.wide))
        given = self.number(0), self.number(0), offsets, counts, layout
        if name == "decode":
            return *given, self.room(self.high * self.wide * item, np.uint8)
        sums = self.room(cells), self.room(cells), *self.moments(cells)
        return *given, self.number(self.high), 0, self.number(-1), y, x, *sums

    def moments(self, cells: int) -> tuple:
        if self.rng.random() < 0.5:
            return ()
        return tuple(self.room(cells, dtype) for dtype in (np.int64, np.int64, np.uint16, np.uint16))
