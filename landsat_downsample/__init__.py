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
    "Band": "scenes.open",
    "Grid": "model.grid",
    "InternalError": "errors",
    "LandsatDownsampleError": "errors",
    "Options": "model.plan",
    "Outcome": "execution.run",
    "ReadError": "errors",
    "RunError": "errors",
    "Scene": "api.scene",
    "SceneError": "errors",
    "UsageError": "errors",
    "WriteError": "errors",
    "ades": "ogc.client",
    "clean": "products.staging.clean",
    "cluster": "execution.cluster",
    "coarsen": "api.lazy",
    "fractions": "api.lazy",
    "make_scene": "testing.synthetic.make",
    "open_scene": "api.scene",
    "plan": "api.verbs",
    "plot": "api.plot",
    "run": "api.verbs",
    "stage_in": "products.staging.stage_in",
    "stage_out": "products.staging.stage_out",
    "verify": "products.verify",
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
    value = module if name == "plot" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
