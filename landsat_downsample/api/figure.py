"""A matplotlib figure that shows itself in a notebook. Imports matplotlib: load it where a figure is made."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """Shows itself in notebooks by itself; matplotlib's own does only once pyplot was imported there."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png")
        return picture.getvalue()
