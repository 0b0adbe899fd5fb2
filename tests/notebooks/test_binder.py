"""What repo2docker reads: the extras it installs exist, and its Python is one of ours."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

HOME = Path(__file__).parents[2]


def test_binder_installs_this_package_with_extras_it_has():
    setup = configparser.ConfigParser()
    setup.read(HOME / "setup.cfg")
    (line,) = (HOME / "binder" / "requirements.txt").read_text().split()
    # The dot first: by that repo2docker knows that it must copy the sources before it installs.
    extras = re.fullmatch(r"\.\[([\w,]+)\]", line)[1].split(",")
    assert set(extras) <= set(setup["options.extras_require"]) and "notebook" in extras
    wanted = setup["options.extras_require"]["notebook"].split()
    assert {"jupyterlab", "dask-labextension", "jupyter-server-proxy", "bokeh", "cwltool"} <= set(wanted)


def test_binder_has_a_python_that_is_supported():
    version = re.fullmatch(r"python-(3\.\d+)", (HOME / "binder" / "runtime.txt").read_text().strip())[1]
    classifiers = (HOME / "setup.cfg").read_text()
    assert f"Programming Language :: Python :: {version}\n" in classifiers
