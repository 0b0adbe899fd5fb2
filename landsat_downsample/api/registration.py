"""`.landsat` on xarray's objects: registered when both packages are imported, whichever is first.

xarray takes half a second to import, and neither the command nor a run needs it. So where it is not loaded yet, a
finder at the head of `sys.meta_path` waits for its import, and leaves again with it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

ACCESSOR = "landsat_downsample.api.accessor"


def register_with_xarray() -> None:
    """Register the accessor now where xarray is loaded, else as soon as it is."""
    if "xarray" in sys.modules:
        importlib.import_module(ACCESSOR)
    elif not any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting())


class _Waiting:
    """A finder that finds nothing itself: it has xarray loaded by its own loader, and the accessor after it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "xarray":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            followed: Any = _Followed(spec.loader)
            spec.loader = followed
        return spec


class _Followed:
    """xarray's loader, after which the accessor is registered."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        importlib.import_module(ACCESSOR)
