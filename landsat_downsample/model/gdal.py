"""GDAL's settings of a thread, for as long as they are entered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rasterio import Env


def gdal_settings(**options: Any) -> Env:
    """Settings for the thread that enters them, without credentials: GDAL opens no remote file here.

    rasterio's own `Env` makes a session of boto3 each time where AWS_ACCESS_KEY_ID is set: 64 of them for a scene
    of 19 bands, half of the CPU time of a small one.
    """
    from rasterio import Env
    from rasterio.session import DummySession

    return Env(DummySession(), **options)
