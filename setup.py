"""Only what setup.cfg cannot say: an optional extension. Without a compiler the package installs and works, slower."""

import os

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "landsat_downsample.reduce._native",
            [
                f"landsat_downsample/reduce/{name}.c"
                for name in ("_native", "_inflate", "_make_shares", "_areas", "_index")
            ],
            depends=[
                f"landsat_downsample/reduce/{name}.h"
                for name in ("_inflate", "_shares", "_areas", "_axis", "_fast", "_index")
            ],
            # Sums of products are to be rounded as NumPy rounds them; nobody looks at flags of the processor.
            extra_compile_args=["-O3", "-ffp-contract=off", "-fno-trapping-math"],
            py_limited_api=True,
            # Whoever makes wheels for others wants an error in place of a wheel without the kernel.
            optional=not os.environ.get("LANDSAT_DOWNSAMPLE_REQUIRE_KERNEL"),
        )
    ]
)
