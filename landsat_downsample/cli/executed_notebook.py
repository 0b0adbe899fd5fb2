"""A notebook executed and kept, free of what is secret or only of this machine."""

from __future__ import annotations

import importlib
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Callable
from importlib import resources
from typing import Any

from landsat_downsample import errors
from landsat_downsample.errors import LandsatDownsampleError, ReadError, UsageError, WriteError
from landsat_downsample.model.location import Location
from landsat_downsample.model.safe_text import public

#: A copy of the one in notebooks/, so that it is there wherever the command is.
NOTEBOOK = "downsample_landsat.ipynb"

#: Names of environment variables whose values are nobody's business.
_SECRET = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|ACCESS_KEY|SIGNATURE|AUTH", re.IGNORECASE)
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
#: Folders of an absolute path; no part of a URL, of a relative path or of base64.
_FOLDERS = re.compile(r"(?:file:/{0,2}|(?<![\w/+.~-])~?(?!//))/(?:[^\s/'\"<>|:;,*()\[\]{}\\]+/)+")


def execute(parameters: dict[str, Any], output: str) -> None:
    """Execute the notebook with parameters of their own types, in the current folder.

    Parameters
    ----------
    parameters : dict
        As the notebook's first code cell names them.
    output : str
        Where it is kept, also if a cell fails: then with all cells before that one, and with the error.

    Raises
    ------
    UsageError
        There is no papermill.
    LandsatDownsampleError
        A cell failed; it is named.
    WriteError
        The notebook cannot be kept.
    """
    try:
        papermill = importlib.import_module("papermill")
        nbformat = importlib.import_module("nbformat")
        importlib.import_module("ipykernel")
    except ImportError as error:
        raise UsageError(
            f"notebooks are executed by papermill: {error}; pip install 'landsat-downsample[notebook]', "
            "or take the image with REQUIREMENTS=requirements-notebook.txt"
        ) from error
    given = resources.files(__package__).joinpath(NOTEBOOK)
    with tempfile.TemporaryDirectory() as folder, resources.as_file(given) as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, to those who wrote them
        logging.getLogger("papermill").setLevel(logging.ERROR)
        executed = os.path.join(folder, NOTEBOOK)
        try:
            papermill.execute_notebook(
                str(path), executed, parameters, progress_bar=False, extra_arguments=["--log-level=CRITICAL"]
            )
        except papermill.PapermillExecutionError as error:
            raise _failure(error, output) from error
        finally:
            if os.path.exists(executed):
                book = nbformat.read(executed, as_version=4)
                _write(nbformat.writes(cleaned(book, str(parameters["source"]))), output)


def _failure(error: Any, output: str) -> LandsatDownsampleError:
    """What a cell raised, as an error of the same kind where that is ours."""
    kind = getattr(errors, error.ename, ReadError)
    message = f"cell {error.exec_count} failed: {error.ename}: {error.evalue}; the notebook so far is {output!r}"
    return kind(message) if issubclass(kind, LandsatDownsampleError) else ReadError(message)


def _write(text: str, output: str) -> None:
    try:
        with open(output, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except OSError as error:
        raise WriteError(f"cannot write {output!r}: {(error.strerror or 'it failed').lower()}") from error


def cleaned(book: Any, source: str) -> Any:
    """Take secrets, signatures and folders of this machine out of all texts of a notebook; pictures are left alone.

    Parameters
    ----------
    book : dict
        The notebook.
    source : str
        Href of the scene, which may be signed; its last name stays.
    """
    place = Location(source)
    gone = {source: place.name if place.is_local else place.shown}
    gone |= dict.fromkeys((os.getcwd(), tempfile.gettempdir(), os.path.expanduser("~")), ".")
    secrets = {value for name, value in os.environ.items() if _SECRET.search(name) and len(value) >= 8}
    gone |= dict.fromkeys(sorted(secrets, key=len, reverse=True), "***")
    gone.pop("/", None)
    return _walk(book, lambda text: _clean(text, gone))


def _walk(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return type(value)({key: one if key.startswith("image/") else _walk(one, clean) for key, one in value.items()})
    if isinstance(value, list):
        return [_walk(one, clean) for one in value]
    return clean(value) if isinstance(value, str) else value


def _clean(text: str, gone: dict[str, str]) -> str:
    for words, instead in gone.items():
        text = text.replace(words, instead)
    text = public(_COLOUR.sub("", text))
    return _FOLDERS.sub(lambda found: found[0].partition("site-packages/")[2], text)
