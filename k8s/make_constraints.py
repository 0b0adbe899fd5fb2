"""Make constraints.txt and constraints-notebook.txt anew, or see that they still resolve.

    python k8s/make_constraints.py python3.11 python3.12 python3.13
    python k8s/make_constraints.py --check

Each Python resolves what the image installs; pip does the work and says what it would install. Where Pythons
need different versions of a package, each version gets a marker. With ``--check`` nothing is written: all
extras, which the images' are among, are resolved under the pins; by default for every supported Python that is on the
PATH or that pyenv has.
"""

from __future__ import annotations

import argparse
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
SETUP = configparser.ConfigParser()
SETUP.read(HERE.parent / "setup.cfg")
#: Of each file: the extras whose packages it pins, besides those of the files before it.
FILES = {
    "constraints.txt": ("s3,kubernetes,cube", ()),
    "constraints-notebook.txt": ("s3,kubernetes,cube,notebook", ("bokeh",)),
}


def resolved(python: str, extras: str, more: tuple[str, ...], *options: str) -> dict[str, str]:
    """Versions by package of what pip of a Python would install."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as report:
        words = [python, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", report.name]
        done = subprocess.run([*words, *options, *needed(extras), *more], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"Python {minor(python)}: {extras} does not resolve:\n{done.stderr}")
        found = [entry["metadata"] for entry in json.load(report)["install"]]
    return {re.sub(r"[-_.]+", "-", entry["name"]).lower(): entry["version"] for entry in found}


def needed(extras: str) -> list[str]:
    """Requirements of this package with extras, as setup.cfg has them: nothing need be built to know them."""
    found = SETUP["options"]["install_requires"].split()
    for extra in extras.split(","):
        for line in filter(None, SETUP["options.extras_require"][extra].splitlines()):
            own = re.fullmatch(r"landsat-downsample\[(.+)\]", line)
            found += needed(own[1]) if own else [line]
    return found


def lines(versions: dict[str, dict[str, str]]) -> list[str]:
    """The pins of packages, from their versions by Python (``3.11``), oldest first."""
    pins = []
    for name in sorted({name for found in versions.values() for name in found}):
        by_python = {python: found[name] for python, found in versions.items() if name in found}
        if len(set(by_python.values())) == 1:
            pins.append(f"{name}=={next(iter(by_python.values()))}")
        else:
            pins += [f'{name}=={version}; python_version == "{python}"' for python, version in by_python.items()]
    return pins


def minor(python: str) -> str:
    """``3.11`` of an interpreter."""
    told = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], check=True, capture_output=True
    )
    return told.stdout.decode().strip()


def supported() -> Iterator[str]:
    """Pythons of this machine that the project supports."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in re.findall(r"Python :: (3\.\d+)\n", (HERE.parent / "setup.cfg").read_text()):
        found = [shutil.which(f"python{version}"), *sorted(map(str, pyenv.glob(f"{version}.*/bin/python{version}")))]
        # pyenv has a command also for a Python that is not switched on.
        works = [
            name
            for name in found
            if name and not subprocess.run([name, "-V"], capture_output=True, check=False).returncode
        ]
        if works:
            yield works[0]
        else:
            print(f"Python {version}: not checked, as it is not here")


def check(pythons: list[str]) -> int:
    """Resolve all extras at once under the pins, and each one where that fails; return the exit code."""
    under = [word for name in FILES for word in ("--constraint", str(HERE / name))]
    extras, more = [*SETUP["options.extras_require"]], tuple(name for _, names in FILES.values() for name in names)

    def tried(python: str, *wanted: str) -> bool:
        try:
            found = resolved(python, ",".join(wanted), more, *under)
        except SystemExit as failed:
            print(failed)
            return False
        print(f"Python {minor(python)}: {len(found)} packages of {','.join(wanted)}")
        return True

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = [
            python
            for python, well in zip(pythons, pool.map(lambda p: tried(p, *extras), pythons), strict=True)
            if not well
        ]
        for python in failed:
            _ = [*pool.map(lambda extra, python=python: tried(python, extra), extras)]
    return 1 if failed else 0


def main() -> int:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="resolve every extra under the pins; write nothing")
    parser.add_argument("python", nargs="*")
    arguments = parser.parse_args()
    if arguments.check:
        return check(arguments.python or list(supported()))
    pinned: set[str] = set()
    for name, (extras, more) in FILES.items():
        pythons = arguments.python or [sys.executable]
        pins = lines({minor(python): resolved(python, extras, more) for python in pythons})
        comments = [line for line in (HERE / name).read_text().splitlines() if line.startswith("#")]
        new = [pin for pin in pins if pin not in pinned]
        (HERE / name).write_text("\n".join([*comments, *new, ""]))
        pinned |= set(pins)
    return 0


if __name__ == "__main__":
    sys.exit(main())
