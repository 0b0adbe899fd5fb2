"""Make constraints.txt and constraints-notebook.txt anew, or see that they still resolve.

    python k8s/make_constraints.py python3.11 python3.12 python3.13
    python k8s/make_constraints.py --check python3.11

Each Python resolves what the image installs; pip does the work and says what it would install. Where Pythons
need different versions of a package, each version gets a marker. With ``--check`` nothing is written: every
extra is resolved under the pins, without looking for other versions than these.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
#: Of each file: the extras whose packages it pins, besides those of the files before it.
FILES = {"constraints.txt": ("s3,kubernetes", ()), "constraints-notebook.txt": ("s3,kubernetes,notebook", ("bokeh",))}


def resolved(python: str, extras: str, more: tuple[str, ...], *options: str) -> dict[str, str]:
    """Versions by package of what pip of a Python would install."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as report:
        words = [python, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", report.name]
        subprocess.run([*words, *options, f"{HERE.parent}[{extras}]", *more], check=True)
        found = [entry["metadata"] for entry in json.load(report)["install"]]
    names = {re.sub(r"[-_.]+", "-", entry["name"]).lower(): entry["version"] for entry in found}
    return {name: version for name, version in names.items() if name != "landsat-downsample"}


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


def main() -> int:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="resolve every extra under the pins; write nothing")
    parser.add_argument("python", nargs="*", default=[sys.executable])
    arguments = parser.parse_args()
    pinned: set[str] = set()
    under = [word for name in FILES for word in ("--constraint", str(HERE / name))]
    for name, (extras, more) in FILES.items():
        if arguments.check:
            for python in arguments.python:
                print(f"Python {minor(python)}: {len(resolved(python, extras, more, *under))} packages of {extras}")
            continue
        pins = lines({minor(python): resolved(python, extras, more) for python in arguments.python})
        text = (HERE / name).read_text()
        comments = [line for line in text.splitlines() if line.startswith("#")]
        new = [pin for pin in pins if pin not in pinned]
        (HERE / name).write_text("\n".join([*comments, *new, ""]))
        pinned |= set(pins)
    return 0


if __name__ == "__main__":
    sys.exit(main())
