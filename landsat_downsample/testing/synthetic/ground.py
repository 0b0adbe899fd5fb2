"""The landscape of a synthetic scene: what covers each pixel, how it is lit, and the clouds above it.

Large shapes are fractal noise on a coarse lattice; detail comes from one periodic fractal tile. A
scene is built and read a few rows at a time, so that a full frame needs little memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landsat_downsample.testing.synthetic.recipe import Recipe

#: Rows worked on at once: a few megabytes a band, so that they stay in the processor's cache.
STRIP = 64

#: Ranges of cover codes: first code and number of shades.
WATER, FIELDS, FOREST, MEADOW, ROCK, TOWN, SNOW = (
    (0, 16),
    (16, 64),
    (80, 32),
    (112, 32),
    (144, 16),
    (160, 16),
    (176, 32),
)

#: Bits of `Ground.flags`.
IS_WATER, IS_CLOUD, IS_DILATED, IS_SHADOW, IS_SNOW, IS_CIRRUS, IS_MEDIUM = (1 << bit for bit in range(7))

#: Cloud thickness (0 to 255) from which a pixel is called cloud, and from which possibly one.
CLOUD, THIN_CLOUD = 100, 60

#: Pixels by which clouds are dilated, as USGS does.
DILATION = 3

#: Groups of saturated pixels: three brightnesses of cloud, a fire, and terrain that hides the ground.
DIM, BRIGHT, GLARING, FIRE, HIDDEN = range(5)


def strips(height: int, rows: int = STRIP) -> Iterator[tuple[int, int]]:
    """Row ranges (start, stop) of at most `rows` rows that cover `height`, from the top."""
    return ((start, min(start + rows, height)) for start in range(0, height, rows))


def fractal(rng: np.random.Generator, shape: tuple[int, int], slope: float, stretch: float = 1.0) -> np.ndarray:
    """Periodic noise with mean 0, variance 1 and amplitudes that fall as frequency ** -slope; float32.

    `stretch` above 1 draws it out along the columns, as wind does with cirrus.
    """
    spectrum = np.fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    fy = np.fft.fftfreq(shape[0])[:, None]
    fx = np.fft.rfftfreq(shape[1])[None, :] * stretch
    squared = fy * fy + fx * fx
    squared[0, 0] = np.inf
    noise = np.fft.irfft2(spectrum * squared ** (-slope / 2), s=shape)
    return (noise / noise.std()).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """A smooth field on a coarse lattice, read at full resolution by linear interpolation."""

    values: np.ndarray
    """float32, shape (rows, columns), one more of each than the frame needs."""
    step: int
    """Pixels between lattice points."""
    phase: tuple[int, int] = (0, 0)
    """Pixels (y, x) from the first lattice point to the frame's first pixel, less than `step`."""

    def rows(self, start: int, stop: int, width: int) -> np.ndarray:
        """The field over rows `start` to `stop`, float32, shape (stop - start, width)."""
        if self.step == 1:
            return self.values[start:stop, :width].copy()
        down, right = self.phase
        y = np.arange(start + down, stop + down, dtype=np.float32) / self.step
        x = np.arange(right, width + right, dtype=np.float32) / self.step
        j, i = y.astype(np.intp), x.astype(np.intp)
        near = self.values[j[0] : j[-1] + 2]
        left = near.take(i, axis=1)
        left += (near.take(i + 1, axis=1) - left) * (x - i)
        j, weight = j - j[0], (y - j)[:, None]
        return left[j] * (1 - weight) + left[j + 1] * weight


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A periodic square of noise that is laid side by side over the frame."""

    values: np.ndarray
    """Shape (n, n) of any type."""
    origin: tuple[int, int] = (0, 0)
    """Where in the tiling the frame's first pixel lies: (y, x)."""

    def rows(self, start: int, stop: int, width: int, shift: tuple[int, int] = (0, 0)) -> np.ndarray:
        """Rows `start` to `stop` of the tiling moved by `shift` (y, x), shape (stop - start, width)."""
        n = len(self.values)
        y = (np.arange(start, stop) + (shift[0] + self.origin[0])) % n
        x = (np.arange(width) + (shift[1] + self.origin[1])) % n
        return self.values[y].take(x, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Maps of a scene, all of the frame's shape (height, width)."""

    recipe: Recipe
    cover: np.ndarray
    """uint8, index of the spectra of `_synthetic_bands`."""
    light: np.ndarray
    """uint8, illumination: 128 on flat ground in the sun."""
    cloud: np.ndarray
    """uint8, thickness of the cloud or veil above: 255 hides the ground."""
    flags: np.ndarray
    """uint8, the ``IS_...`` bits of each pixel."""
    fields: dict[str, Lattice]
    """``height``, ``haze``, ``cirrus`` and ``distance`` (pixels to the nearest cloud)."""
    detail: Tile
    """float32 fractal noise."""
    noise: Tile
    """int8 noise of a sensor, standard deviation 32."""
    saturated: tuple[np.ndarray, np.ndarray]
    """Flat indices, ascending, and group of the pixels some band is saturated in."""
    specks: np.ndarray
    """Flat indices, ascending, of single pixels that one band has no data in."""
    depth: np.ndarray | None = field(default=None)
    """int8, eighths of a pixel into a scan gap; None without gaps."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.cover.shape


class _Rough:
    """The coarse lattice fields that a landscape is shaped from.

    Of a lone scene they are as large as its frame. Frames of a series are cut out of one world, which repeats
    itself after two frames or more: what lies at a position is the same in each of them, to the bit, since steps
    of a power of two pixels make positions between lattice points exact in float32.
    """

    def __init__(self, recipe: Recipe, rng: np.random.Generator, air: np.random.Generator) -> None:
        self.width, self.height = recipe.size
        size = recipe.landscape_size
        self.step = max(1, -(-max(size) // (512 if max(size) > 1024 else 256)))
        if recipe.frame is None:
            self.shape = (self.height - 1) // self.step + 2, (self.width - 1) // self.step + 2
            y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in self.shape)
        else:
            self.step = _power_of_two(self.step)
            side = _power_of_two(2 * max(size) // self.step)
            self.shape = side, side
            y = x = -np.cos(np.arange(side, dtype=np.float32) * np.float32(2 * np.pi / side))
        self.origin = recipe.origin
        self._rng = rng
        plain = self.noise(1.9) - 0.5 * x[None, :] - 1.1 * y[:, None]
        ridges = 1 - 2 * np.abs(self.noise(1.5))
        rise = np.clip(plain - np.percentile(plain, 55), 0, 1.2)
        self.ground = plain + 0.7 * rise * ridges
        self.river = _distance_to_zero(self.noise(1.7)) * self.step
        self.woods = self.noise(1.4) + 0.35 * self.ground
        self.bend = self.noise(2.2)
        self._rng = air
        self.haze = self.noise(2.4)
        self.cirrus = self.noise(1.6, stretch=3.0)
        self.sea, self.hills, self.alps, self.snow = np.percentile(self.ground, (20, 62, 87, 95)).tolist()
        cloud = self.noise(1.25) - 1.5 * np.maximum(
            0, (self.ground - self.snow) / (self.ground.max() - self.snow) + 0.15
        )
        self.cloud = cloud - np.float32(np.percentile(cloud, 87))
        self.snow -= (1 - recipe.summer) * (self.snow - (self.hills + self.alps) / 2)

    def noise(self, slope: float, stretch: float = 1.0) -> np.ndarray:
        side = _power_of_two(max(self.shape))
        return fractal(self._rng, (side, side), slope, stretch)[: self.shape[0], : self.shape[1]]

    def lattice(self, values: np.ndarray) -> Lattice:
        """What of `values` lies in the frame."""
        (down, y), (right, x) = (divmod(start, self.step) for start in self.origin)
        rows = (np.arange((self.height + y - 1) // self.step + 2) + down) % len(values)
        columns = (np.arange((self.width + x - 1) // self.step + 2) + right) % values.shape[1]
        return Lattice(values[np.ix_(rows, columns)].astype(np.float32, order="C"), self.step, (y, x))

    def slope_light(self) -> np.ndarray:
        """Brightness of slopes lit from the south-east, 0 on flat ground."""
        dy, dx = np.gradient(np.maximum(self.ground, self.hills))
        shade = (-dx - dy) / (np.std(dx + dy) + 1e-6)
        return np.clip(shade, -2.5, 2.5)


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


def _distance_to_zero(values: np.ndarray) -> np.ndarray:
    """Lattice steps to the nearest zero of a smooth field, to first order."""
    dy, dx = np.gradient(values)
    return np.abs(values) / np.sqrt(dx * dx + dy * dy + 1e-6)


def build(recipe: Recipe) -> Ground:
    """Make the landscape of `recipe`: the same one for the same recipe, whatever the machine's load."""
    entropy = [recipe.seed, *recipe.landscape_size, len(recipe.like), int(recipe.southern)]
    rng = air = np.random.default_rng(entropy)
    if recipe.frame is not None:  # each pass has an air of its own, and noise of its sensor; all have one ground
        air = np.random.default_rng([*entropy, recipe.acquired.toordinal(), recipe.frame.path])
    rough = _Rough(recipe, rng, air)
    side = 512 if max(recipe.landscape_size) <= 1024 else 2048
    detail = Tile(fractal(rng, (side, side), 1.3), rough.origin)
    grain = np.rint(air.standard_normal((side, side), dtype=np.float32) * 32)
    noise = Tile(np.clip(grain, -127, 127).astype(np.int8), rough.origin)
    cloud = _clouds(rough, detail)
    flags = _cloud_flags(recipe, cloud, detail)
    cover, light = _surface(rough, detail, cloud, flags, _shadow_shift(recipe))
    fields = {"haze": rough.lattice(rough.haze), "height": rough.lattice(rough.ground)}
    fields["distance"] = Lattice(_cloud_distance(flags, rough.step).astype(np.float32), rough.step)
    if recipe.like == "oli":
        fields["cirrus"] = rough.lattice(rough.cirrus - np.percentile(rough.cirrus, 93))
        _veil(fields["cirrus"], cloud, flags)
    saturated = _saturated(air, cloud, cover, detail)
    specks = np.unique(air.integers(0, cover.size, max(8, cover.size // 60_000)))
    depth = _gaps(recipe) if recipe.has_gaps else None
    return Ground(recipe, cover, light, cloud, flags, fields, detail, noise, saturated, specks, depth)


def _clouds(rough: _Rough, detail: Tile) -> np.ndarray:
    """Thickness of the clouds, uint8."""
    cloud = np.empty((rough.height, rough.width), np.uint8)
    shape = rough.lattice(rough.cloud * 420)
    for start, stop in strips(rough.height):
        thickness = shape.rows(start, stop, rough.width)
        thickness += detail.rows(start, stop, rough.width, (37, 411)) * np.float32(42)
        cloud[start:stop] = np.clip(thickness, 0, 255)
    return cloud


def _cloud_flags(recipe: Recipe, cloud: np.ndarray, detail: Tile) -> np.ndarray:
    """Flags of cloud, of its dilation and of what may be cloud."""
    flags = np.empty_like(cloud)
    height = len(cloud)
    for start, stop in strips(height, 4 * STRIP):
        low, high = max(0, start - DILATION), min(height, stop + DILATION)
        certain = cloud[low:high] >= CLOUD
        wide = _dilate(certain)[start - low : stop - low]
        certain = certain[start - low : stop - low]
        maybe = (cloud[start:stop] >= THIN_CLOUD) & ~certain
        flags[start:stop] = certain * np.uint8(IS_CLOUD) | (wide & ~certain) * np.uint8(IS_DILATED)
        flags[start:stop] |= maybe * np.uint8(IS_MEDIUM)
    return flags


def _dilate(mask: np.ndarray) -> np.ndarray:
    """The boolean `mask` grown by `DILATION` pixels to all sides."""
    for axis in (0, 1):
        grown = mask.copy()
        across, source = grown.swapaxes(0, axis), mask.swapaxes(0, axis)
        for by in range(1, DILATION + 1):
            across[by:] |= source[:-by]
            across[:-by] |= source[by:]
        mask = grown
    return mask


def _shadow_shift(recipe: Recipe) -> tuple[int, int]:
    """How far (rows, columns) north-west of its cloud a shadow falls: clouds are 1 500 m high."""
    away = min(round(1500 / recipe.mission.step), min(recipe.landscape_size) // 12)
    return round(away * 0.75), round(away * 0.65)


def _shifted(values: np.ndarray, start: int, stop: int, shift: tuple[int, int]) -> np.ndarray:
    """Rows `start` to `stop` of `values` moved up and left by `shift`; zero where nothing comes in."""
    out = np.zeros((stop - start, values.shape[1]), values.dtype)
    source = values[start + shift[0] : stop + shift[0], shift[1] :]
    out[: source.shape[0], : source.shape[1]] = source
    return out


def _surface(
    rough: _Rough, detail: Tile, cloud: np.ndarray, flags: np.ndarray, shift: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Cover and light of every pixel; adds the flags of water, snow and shadow to `flags`."""
    cover, light = np.empty_like(cloud), np.empty_like(cloud)
    shapes = {name: rough.lattice(getattr(rough, name)) for name in ("ground", "river", "woods", "bend")}
    shapes["slope"] = rough.lattice(rough.slope_light())
    for start, stop in strips(rough.height):
        at = {name: lattice.rows(start, stop, rough.width) for name, lattice in shapes.items()}
        fine = detail.rows(start, stop, rough.width)
        other = detail.rows(start, stop, rough.width, (701, 97))
        codes, high = _cover(rough, at, fine, other, start)
        shade = _shifted(cloud, start, stop, shift)
        water, snow = codes < FIELDS[0], codes >= SNOW[0]
        shadow = (shade >= CLOUD) & ~water & (flags[start:stop] & IS_CLOUD == 0)
        found = water * np.uint8(IS_WATER) | snow * np.uint8(IS_SNOW)
        found[flags[start:stop] & (IS_CLOUD | IS_DILATED) != 0] &= np.uint8(0xFF ^ IS_SNOW)
        found[shadow] &= np.uint8(0xFF ^ IS_SNOW)
        flags[start:stop] |= found | shadow * np.uint8(IS_SHADOW)
        bright = 128 + 4 * fine + np.where(high, 26 * at["slope"] + 5 * other, np.float32(0))
        bright *= 1 - np.where(water, np.float32(0), np.float32(0.55 / 255)) * shade
        light[start:stop], cover[start:stop] = np.clip(bright, 12, 250), codes
    flags[flags & (IS_WATER | IS_SNOW) != 0] &= np.uint8(0xFF ^ IS_MEDIUM)
    return cover, light


def _cover(
    rough: _Rough, at: dict[str, Any], fine: np.ndarray, other: np.ndarray, start: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cover codes of a strip, and where it is hilly."""
    ground = at["ground"] + np.float32(0.05) * fine
    shade = other * np.float32(0.16) + np.float32(0.5)
    codes = _shades(FIELDS, _parcels(at["bend"], (start + rough.origin[0], rough.origin[1])))
    woods = at["woods"] + np.float32(0.12) * other
    codes = np.where(woods > 0.55, _shades(FOREST, shade), codes)
    codes = np.where((woods < -1.75) & (fine > -0.6), _shades(TOWN, shade + fine * np.float32(0.2)), codes)
    high = ground > rough.hills
    codes = np.where(high & (woods > -0.35), _shades(FOREST, shade), codes)
    codes = np.where(high & (woods <= -0.35), _shades(MEADOW, shade), codes)
    codes = np.where(ground + np.float32(0.1) * other > rough.alps, _shades(ROCK, shade), codes)
    codes = np.where(ground + np.float32(0.12) * other > rough.snow, _shades(SNOW, shade + np.float32(0.2)), codes)
    stream = (at["river"] + fine < 2.2) & ~high
    depth = np.clip((rough.sea - ground) * np.float32(1.4), 0, 1)
    codes = np.where(stream | (ground < rough.sea), _shades(WATER, depth), codes)
    return codes, high


def _shades(cover: tuple[int, int], level: np.ndarray) -> np.ndarray:
    """Codes of a cover whose shade is `level`, 0 to 1."""
    first, count = cover
    return np.clip(level * np.float32(count), 0, count - 1).astype(np.uint8) + np.uint8(first)


def _parcels(bend: np.ndarray, origin: tuple[int, int]) -> np.ndarray:
    """Shade (0 to 1) of the field each pixel of a strip lies in: bricks of about 9 x 17 pixels on bent rows."""
    rows, width = bend.shape
    y = np.arange(origin[0], origin[0] + rows, dtype=np.float32)[:, None]
    x = np.arange(origin[1], origin[1] + width, dtype=np.float32)[None, :]
    across = (x * np.float32(0.87) + y * np.float32(0.5) + bend * 60) * np.float32(1 / 17)
    along = (y * np.float32(0.87) - x * np.float32(0.5) + bend * 45) * np.float32(1 / 9)
    line = np.floor(along).astype(np.int32)
    key = line * np.int32(7919)
    across += (key & 1023).astype(np.float32) * np.float32(1 / 1024)
    key += np.floor(across).astype(np.int32) * np.int32(104729)
    mixed = key.view(np.uint32)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(2654435761)
    return (mixed >> np.uint32(16)).astype(np.float32) * np.float32(1 / 65536)


def _cloud_distance(flags: np.ndarray, step: int) -> np.ndarray:
    """Pixels from each lattice point to the nearest cloud; the frame's diagonal where there is none.

    Exact on the lattice: down the columns first, then the least of the hypotenuses along the rows.
    """
    shape = tuple((n - 1) // step + 2 for n in flags.shape)
    mask = np.zeros(shape, bool)
    seen = flags[::step, ::step] & IS_CLOUD != 0
    mask[: seen.shape[0], : seen.shape[1]] = seen
    far = np.float32(sum(shape))
    column = np.where(mask, np.float32(0), far)
    for order in (range(1, len(column)), range(len(column) - 2, -1, -1)):
        before = 1 if order.step < 0 else -1
        for row in order:
            np.minimum(column[row], column[row + before] + 1, out=column[row])
    square, offsets = column * column, np.arange(column.shape[1], dtype=np.float32)
    gaps = (offsets[:, None] - offsets[None, :]) ** 2
    nearest = np.stack([(line + gaps).min(axis=1) for line in square])
    return np.sqrt(np.minimum(nearest, far * far)) * step


def _veil(cirrus: Lattice, cloud: np.ndarray, flags: np.ndarray) -> None:
    """Lay high thin cloud over the scene: flags it, and thickens `cloud` without making it opaque."""
    height, width = cloud.shape
    for start, stop in strips(height):
        strength = cirrus.rows(start, stop, width)
        flags[start:stop] |= (strength > 0.12) * np.uint8(IS_CIRRUS)
        thin = np.clip(strength * np.float32(45), 0, CLOUD - 40).astype(np.uint8)
        np.maximum(cloud[start:stop], thin, out=cloud[start:stop])


def _saturated(
    rng: np.random.Generator, cloud: np.ndarray, cover: np.ndarray, detail: Tile
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels too bright for some bands, and a few that the terrain hides: flat indices and groups."""
    height, width = cloud.shape
    found, groups = [], []
    for start, stop in strips(height):
        bright = detail.rows(start, stop, width, (5, 5))
        at = np.flatnonzero((cloud[start:stop] >= 250) & (bright > 2.0))
        found.append(at + start * width)
        groups.append(np.digitize(bright.ravel()[at], (2.3, 2.7)).astype(np.uint8))
    for group, count in ((FIRE, 3 + cover.size // 400_000), (HIDDEN, 2 + cover.size // 800_000)):
        spots = rng.integers(0, cover.size, count)
        found.append(spots)
        groups.append(np.full(count, group, np.uint8))
    indices, first = np.unique(np.concatenate(found), return_index=True)
    return indices, np.concatenate(groups)[first]


def _gaps(recipe: Recipe) -> np.ndarray:
    """Depth of each pixel in a scan gap, in eighths of a pixel, int8."""
    width, height = recipe.size
    depth = np.empty((height, width), np.int8)
    for start, stop in strips(height):
        depth[start:stop] = np.clip(recipe.gap_depth(np.arange(start, stop)) * 8, -127, 127)
    return depth
