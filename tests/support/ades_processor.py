"""A process of ours for pygeoapi, an OGC API server that knows nothing of us. Loaded by that server."""

from __future__ import annotations

import time

from pygeoapi.process.base import BaseProcessor, ProcessorExecuteError

import landsat_downsample as ld

METADATA = {
    "version": ld.__version__,
    "id": "downsample",
    "title": {"en": "Make a scene smaller"},
    "description": {"en": "Reduces a scene of this machine."},
    "jobControlOptions": ["async-execute", "sync-execute"],
    "keywords": ["landsat"],
    "links": [],
    "inputs": {
        "scene": {"title": "scene", "schema": {"type": "string"}, "minOccurs": 1, "maxOccurs": 1},
        "to": {"title": "to", "schema": {"type": "string"}, "minOccurs": 1, "maxOccurs": 1},
        "factor": {"title": "factor", "schema": {"type": "number"}, "minOccurs": 1, "maxOccurs": 1},
        "bands": {"title": "bands", "schema": {"type": "string"}, "minOccurs": 0, "maxOccurs": 1},
        "pause": {"title": "seconds to wait first", "schema": {"type": "number"}, "minOccurs": 0, "maxOccurs": 1},
    },
    "outputs": {"item": {"schema": {"type": "object", "contentMediaType": "application/json"}}},
    "example": {"inputs": {}},
}


class Downsample(BaseProcessor):
    def __init__(self, definition):
        super().__init__(definition, METADATA)

    def execute(self, data, outputs=None):
        time.sleep(data.get("pause", 0))
        try:
            plans = ld.plan(data["scene"], data["to"], factor=data["factor"], bands=data.get("bands"))
            (outcome,) = ld.run(plans)
        except ld.LandsatDownsampleError as error:
            raise ProcessorExecuteError(str(error)) from error
        return "application/json", {"item": {"href": outcome.href, "type": "application/geo+json"}}
