"""Landsat scenes, smaller and still right.

>>> import landsat_downsample as ld
>>> scene = ld.open_scene("LC08_L2SP_008059_20191201_20200825_02_T1")     # doctest: +SKIP
>>> scene["red"]                                      # lazy, full size   # doctest: +SKIP
>>> ld.coarsen(scene["red"], factor=10).plot()        # lazy, reduced     # doctest: +SKIP
>>> ld.run(ld.plan(scene, "out", factor=10))          # a whole product   # doctest: +SKIP

Every pixel is read, never an overview. Each band is reduced by what it means: continuous
bands by an exact mean of valid pixels, bit fields flag by flag. Nothing is visible of a
product before all of it is there.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

#: Where each public name lives; modules are imported when a name is first used.
_HOME = {
    "Band": "_scene",
    "Grid": "_grid",
    "InternalError": "_errors",
    "LandsatDownsampleError": "_errors",
    "Options": "_plan",
    "Outcome": "_run",
    "ReadError": "_errors",
    "RunError": "_errors",
    "Scene": "_scene",
    "SceneError": "_errors",
    "UsageError": "_errors",
    "WriteError": "_errors",
    "ades": "_ades",
    "clean": "_staging._cleaning",
    "cluster": "_cluster",
    "coarsen": "_coarsen",
    "fractions": "_coarsen",
    "make_scene": "_synthetic",
    "open_scene": "_scene",
    "plan": "_api",
    "plot": "_plot",
    "run": "_api",
    "stage_in": "_staging",
    "stage_out": "_staging._stage_out",
    "verify": "_verify",
}

__all__ = [
    "Band",
    "Grid",
    "InternalError",
    "LandsatDownsampleError",
    "Options",
    "Outcome",
    "ReadError",
    "RunError",
    "Scene",
    "SceneError",
    "UsageError",
    "WriteError",
    "ades",
    "clean",
    "cluster",
    "coarsen",
    "fractions",
    "make_scene",
    "open_scene",
    "plan",
    "plot",
    "run",
    "stage_in",
    "stage_out",
    "verify",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOME[name]}")
    value = module if f"_{name}" == _HOME[name] and not hasattr(module, name) else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
