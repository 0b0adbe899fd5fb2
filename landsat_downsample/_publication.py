"""Products appear whole or not at all: staged, then renamed (local), or the marker last (object stores)."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from dataclasses import dataclass, field

import fsspec

from landsat_downsample._errors import ReadError, WriteError
from landsat_downsample._hrefs import is_local, join, local_path, redact


@dataclass(frozen=True, slots=True)
class Publication:
    """One product on its way to its final name."""

    dest: str
    name: str
    overwrite: bool = False
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def href(self) -> str:
        """Final place of the product."""
        return join(self.dest, self.name)

    @property
    def _staging(self) -> str:
        return os.path.join(local_path(self.dest), f".{self.name}.partial-{self.token}")

    def put(self, filename: str, data: bytes) -> None:
        """Store one file of the product."""
        if is_local(self.dest):
            try:
                os.makedirs(self._staging, exist_ok=True)
                with open(os.path.join(self._staging, filename), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise WriteError(f"cannot write {filename!r} in {self.dest!r}: {error.strerror or error}") from error
            return
        fs, path = fsspec.core.url_to_fs(join(self.href, filename))
        fs.pipe_file(path, data)

    def commit(self, marker_filename: str, data: bytes) -> None:
        """Write the marker last and make the product visible."""
        self.put(marker_filename, data)
        if is_local(self.dest):
            final = local_path(self.href)
            if self.overwrite and os.path.isdir(final):
                shutil.rmtree(final)
            try:
                os.rename(self._staging, final)
            except OSError as error:
                raise WriteError(f"cannot publish {self.href!r}: {error.strerror or error}") from error

    def abort(self) -> None:
        """Remove what was stored."""
        if is_local(self.dest):
            shutil.rmtree(self._staging, ignore_errors=True)


def read_marker(dest: str, name: str, filename: str) -> dict | None:
    """Read a product's marker, if the product is there."""
    href = join(dest, name, filename)
    fs, path = fsspec.core.url_to_fs(local_path(href) if is_local(href) else href)
    try:
        return json.loads(fs.cat_file(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ReadError(f"marker {redact(href)!r} is not JSON") from error
