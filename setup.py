"""Only what setup.cfg cannot say: an optional extension. Without a compiler the package installs and works, slower."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "landsat_downsample.reduce._native",
            ["landsat_downsample/reduce/_native.c", "landsat_downsample/reduce/_inflate.c"],
            depends=["landsat_downsample/reduce/_inflate.h"],
            extra_compile_args=["-O3"],
            py_limited_api=True,
            optional=True,
        )
    ]
)
