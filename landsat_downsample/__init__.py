"""Landsat scenes, smaller and still right.

>>> import landsat_downsample as ld
>>> scene = ld.open_scene("LC08_L2SP_192028_20230714_20230724_02_T1")   # or a tar, a STAC item, an s3:// prefix
>>> scene["red"].shape                               # lazy, full size
(500, 600)
>>> ld.coarsen(scene["red"], factor=10).shape        # lazy, reduced
(50, 60)
>>> [one.status for one in ld.run(ld.plan(scene, "out", factor=10))]   # a whole product
['done']

The examples in this help begin with the first two lines. ``ld.make_scene(".", size=(600, 500))`` makes that scene.

Every pixel is read, never an overview. Each band is reduced by what it means: continuous
bands by an exact mean of valid pixels, bit fields flag by flag. Nothing is visible of a
product before all of it is there.

Arrays         open_scene, coarsen, fractions, plot (before_after, fractions, footprint)
Products       plan, run, verify
Many scenes    search, status, retry_failed, cluster (dask workers, here or on Kubernetes)
In time        open_products, cube, composite, catalogue
Places         stage_in, stage_out, clean
Platforms      ades (OGC API - Processes)
To try it      make_scene, make_scenes

Errors are all `LandsatDownsampleError`; ``help(ld.run)`` tells of one name, the classes stand below.
"""

import importlib as _importlib
import logging as _logging
import os as _os
from typing import TYPE_CHECKING

from landsat_downsample.api.registration import register_with_xarray as _register_with_xarray

if TYPE_CHECKING:  # what checkers and editors see; without `__getattr__`, so that they refuse other names
    from landsat_downsample.api import plot
    from landsat_downsample.api.catalogue import catalogue
    from landsat_downsample.api.composite import composite
    from landsat_downsample.api.cube import cube
    from landsat_downsample.api.lazy import coarsen, fractions
    from landsat_downsample.api.open_products import open_products
    from landsat_downsample.api.scene import Scene, open_scene
    from landsat_downsample.api.verbs import plan, retry_failed, run
    from landsat_downsample.batch.plans import Plans
    from landsat_downsample.batch.runs import status
    from landsat_downsample.batch.search_result import SearchResult, search
    from landsat_downsample.batch.status import Status
    from landsat_downsample.cubes.catalogue import CatalogueOutcome
    from landsat_downsample.cubes.growing import CubeOutcome
    from landsat_downsample.errors import (
        BandError,
        InternalError,
        LandsatDownsampleError,
        MissingError,
        NoSceneError,
        ReadError,
        RunError,
        SceneError,
        UsageError,
        VerifyError,
        WriteError,
    )
    from landsat_downsample.execution.cluster import cluster
    from landsat_downsample.execution.outcomes import Outcome
    from landsat_downsample.execution.run import Progress
    from landsat_downsample.model.band import Band
    from landsat_downsample.model.grid import Grid
    from landsat_downsample.model.options import Options
    from landsat_downsample.model.plan import ScenePlan
    from landsat_downsample.ogc.client import Ades, ades
    from landsat_downsample.ogc.http import AdesError
    from landsat_downsample.ogc.job import Job, JobStatus
    from landsat_downsample.products.staging.clean import FoundLeftover, clean
    from landsat_downsample.products.staging.stage_in import stage_in
    from landsat_downsample.products.staging.stage_out import stage_out
    from landsat_downsample.products.verify import Report, verify
    from landsat_downsample.testing.synthetic.make import make_scene, make_scenes

if _os.name != "posix":
    raise ImportError("landsat_downsample needs POSIX (Linux, macOS, or WSL on Windows): its locks and signals")

_register_with_xarray()  # at once where xarray is loaded, else when it is: it need not be

__version__ = "0.1.0"

_logging.getLogger(__name__).addHandler(_logging.NullHandler())  # who uses the library says where its messages go

#: Where each public name lives; modules are imported when a name is first used.
_HOME = {
    "Ades": "ogc.client",
    "AdesError": "ogc.http",
    "Band": "model.band",
    "BandError": "errors",
    "CatalogueOutcome": "cubes.catalogue",
    "CubeOutcome": "cubes.growing",
    "FoundLeftover": "products.staging.clean",
    "Grid": "model.grid",
    "InternalError": "errors",
    "Job": "ogc.job",
    "JobStatus": "ogc.job",
    "LandsatDownsampleError": "errors",
    "MissingError": "errors",
    "NoSceneError": "errors",
    "Options": "model.options",
    "Outcome": "execution.outcomes",
    "Plans": "batch.plans",
    "Progress": "execution.run",
    "ReadError": "errors",
    "Report": "products.verify",
    "RunError": "errors",
    "Scene": "api.scene",
    "SceneError": "errors",
    "ScenePlan": "model.plan",
    "SearchResult": "batch.search_result",
    "Status": "batch.status",
    "UsageError": "errors",
    "VerifyError": "errors",
    "WriteError": "errors",
    "ades": "ogc.client",
    "catalogue": "api.catalogue",
    "clean": "products.staging.clean",
    "cluster": "execution.cluster",
    "coarsen": "api.lazy",
    "composite": "api.composite",
    "cube": "api.cube",
    "fractions": "api.lazy",
    "make_scene": "testing.synthetic.make",
    "make_scenes": "testing.synthetic.make",
    "open_products": "api.open_products",
    "open_scene": "api.scene",
    "plan": "api.verbs",
    "plot": "api.plot",
    "retry_failed": "api.verbs",
    "run": "api.verbs",
    "search": "batch.search_result",
    "stage_in": "products.staging.stage_in",
    "stage_out": "products.staging.stage_out",
    "status": "batch.runs",
    "verify": "products.verify",
}

__all__ = [
    "Ades",
    "AdesError",
    "Band",
    "BandError",
    "CatalogueOutcome",
    "CubeOutcome",
    "FoundLeftover",
    "Grid",
    "InternalError",
    "Job",
    "JobStatus",
    "LandsatDownsampleError",
    "MissingError",
    "NoSceneError",
    "Options",
    "Outcome",
    "Plans",
    "Progress",
    "ReadError",
    "Report",
    "RunError",
    "Scene",
    "SceneError",
    "ScenePlan",
    "SearchResult",
    "Status",
    "UsageError",
    "VerifyError",
    "WriteError",
    "ades",
    "catalogue",
    "clean",
    "cluster",
    "coarsen",
    "composite",
    "cube",
    "fractions",
    "make_scene",
    "make_scenes",
    "open_products",
    "open_scene",
    "plan",
    "plot",
    "retry_failed",
    "run",
    "search",
    "stage_in",
    "stage_out",
    "status",
    "verify",
]

if not TYPE_CHECKING:

    def __getattr__(name):
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = _importlib.import_module(f"{__name__}.{_HOME[name]}")
        value = module if name == "plot" else getattr(module, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
