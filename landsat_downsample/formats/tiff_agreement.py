"""What a TIFF says of itself more than once, held against each other: a damaged directory has no checksum. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from landsat_downsample.errors import ReadError

if TYPE_CHECKING:
    from landsat_downsample.formats.tiff_layout import Directory, TiffLayout

#: What an overview has in common with the image it is made of.
_SHARED = {
    "compression": "compression",
    "predictor": "predictor",
    "bits": "bits of a sample",
    "sample_format": "sample format",
    "samples": "samples of a pixel",
    "planar": "planar configuration",
    "fill_order": "fill order",
}


def check(layout: TiffLayout) -> None:
    """Refuse a TIFF whose directories disagree, or whose blocks share bytes.

    Raises
    ------
    ReadError
        It is damaged.
    """
    image, *others = layout.directories
    if image.reduced:
        raise ReadError("TIFF begins with an overview or a mask: the file is damaged")
    for other in others:
        if other.reduced and not other.mask:
            _check_overview(image, other)
    for one in layout.directories:
        if ((one.counts == 0) & (one.offsets != 0)).any():
            raise ReadError("TIFF has a block of no bytes at a place of its own: the file is damaged")
    _check_apart(layout)


def _check_overview(image: Directory, overview: Directory) -> None:
    for name, words in _SHARED.items():
        full, small = getattr(image, name), getattr(overview, name)
        if full != small:
            raise ReadError(f"TIFF has {words} {full} at full resolution, {small} in an overview: the file is damaged")
    # Early writers left nodata out of overviews.
    if overview.nodata is not None and overview.nodata != image.nodata:
        raise ReadError("TIFF has another nodata value at full resolution than in an overview: the file is damaged")


def _check_apart(layout: TiffLayout) -> None:
    """Blocks share bytes neither with each other nor with the directories: an offset that was moved by a bit does."""
    starts = np.concatenate([one.offsets for one in layout.directories])
    stops = starts + np.concatenate([one.counts for one in layout.directories])
    starts, stops = starts[stops > starts], stops[stops > starts]
    order = np.argsort(starts)
    starts, stops = starts[order], stops[order]
    if (stops[:-1] > starts[1:]).any():
        raise ReadError("TIFF has blocks that share bytes: the file is damaged, or rewrite it (gdal_translate IN OUT)")
    if not starts.size:
        return
    for start, length in layout.parts:
        block = int(np.searchsorted(stops, start, side="right"))  # the first that ends beyond it
        if block < starts.size and starts[block] < start + length:
            raise ReadError("TIFF has a block that shares bytes with a directory: the file is damaged")
