"""EarthExplorer's CSV of scenes: which column names them, and where USGS keeps what they name. Pure."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from landsat_downsample.errors import UsageError
from landsat_downsample.formats import product_id
from landsat_downsample.formats.product_id import ProductId

#: What EarthExplorer calls the column of product IDs, the first choice first: its tables differ by data set.
_COLUMNS = ("display id", "landsat product identifier l2", "landsat product identifier l1")


@dataclass(frozen=True, slots=True)
class SceneTable:
    """The form of a table of scenes, as its header line says."""

    delimiter: str
    columns: tuple[int, ...]
    """Where product IDs stand, the first choice first."""

    @classmethod
    def of(cls, header: str) -> SceneTable | None:
        """Read a header line; None where it is that of another table, or no header.

        >>> SceneTable.of('"Landsat Product Identifier L1","Display ID"').columns
        (1, 0)
        """
        for delimiter in ",;\t":  # spreadsheets write others than they were given
            names = [name.lower() for name in _cells(header, delimiter)]
            columns = tuple(names.index(name) for name in _COLUMNS if name in names)
            if columns:
                return cls(delimiter, columns)
        return None

    def name_in(self, line: str) -> str | None:
        """What stands for the product ID in a row; None where the row is empty."""
        cells = _cells(line, self.delimiter)
        named = (cells[column] for column in self.columns if column < len(cells))
        return next(filter(None, named), "") if line.strip(f"{self.delimiter} \r\n") else None


def _cells(line: str, delimiter: str) -> list[str]:
    """Cells of a line by itself: a quote that is not closed takes no other rows with it."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:  # longer than any cell of such a table
        return []


def product_of(text: str) -> ProductId:
    """The product that a cell of a table names.

    Raises
    ------
    UsageError
        It names none that USGS keeps in a bucket.
    """
    product = product_id.parse(text)
    if product is None or product.id != text.upper():
        raise UsageError(f"{text!r} is no Landsat product ID" if text else "no product ID in this row")
    if not product.family.archive or not product.processed:
        raise UsageError(f"{text!r} is no product of Collection 2")
    return product


def usgs_href(product: ProductId) -> str:
    """The folder of a product in the bucket where USGS keeps it.

    >>> usgs_href(product_id.parse("LT05_L2SP_090084_19980308_20200909_02_T1"))
    's3://usgs-landsat/collection02/level-2/standard/tm/1998/090/084/LT05_L2SP_090084_19980308_20200909_02_T1'
    """
    family, own = product.family, {"id": product.id, "level": product.level, "year": product.acquired.year}
    return family.archive.format(folder=family.folders[product.sensor], **product.parts, **own)
