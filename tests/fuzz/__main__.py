"""Damaged and made-up input for the C kernel, under the sanitizers for addresses and undefined behaviour.

    cd tests && PYTHONPATH=support python -m fuzz --seconds 600 [--seed 1] [TARGET ...]
    cd tests && PYTHONPATH=support python -m fuzz TARGET --input FILE

Each target (see `targets.py`) is run on changed copies of its seeds, and of what led to code that was not run before,
and says what is wrong by an AssertionError; the sanitizers end the process. What failed is kept in a file. Needs gcc.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "landsat_downsample" / "reduce"
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")

TARGETS = ["inflate", "tiles", "shares", "calls"]

#: MiB that no input may take.
GREEDY = 2048

#: An input that fails is read from here once the process is gone.
LONGEST = 1 << 20


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", default=TARGETS, help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=60, help="for all targets together")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--input", type=Path, help="run one target on this file alone")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        library, preloaded = build(Path(folder))
        failed = [name for name in given.targets if not survives(name, given, library, preloaded)]
    return 1 if failed else 0


def build(folder: Path) -> tuple[Path, str]:
    """The extension with sanitizers and counted edges, and what must be loaded before Python."""
    compiler = shutil.which(os.environ.get("CC", "gcc"))
    runtime = compiler and subprocess.check_output([compiler, "-print-file-name=libasan.so"], text=True).strip()
    if not runtime or not os.path.isabs(runtime):
        sys.exit("fuzz: needs gcc with its address sanitizer: apt-get install gcc libc6-dev")
    common = [compiler, "-g", "-O1", "-fno-omit-frame-pointer", "-fPIC"]
    subprocess.run([*common, "-c", Path(__file__).with_name("edges.c"), "-o", folder / "edges.o"], check=True)
    sources = [*sorted(SOURCES.glob("*.c")), folder / "edges.o"]
    library = folder / "_native.abi3.so"
    headers = f"-I{sysconfig.get_path('include')}"
    flags = [*SANITIZED, "-fsanitize-coverage=trace-pc", headers]
    subprocess.run([*common, *flags, "-shared", *sources, "-o", library], check=True)
    return library, runtime


def survives(name: str, given: argparse.Namespace, library: Path, preloaded: str) -> bool:
    """Run a target in a process of its own; keep what ends it."""
    settings = {
        "LD_PRELOAD": preloaded,
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": f"detect_leaks=0:allocator_may_return_null=1:hard_rss_limit_mb={GREEDY}",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    with tempfile.NamedTemporaryFile() as hand:
        hand.truncate(8 + LONGEST)
        share = given.seconds / len(given.targets)
        words = [str(library), name, str(given.seed), str(share), hand.name, str(given.input or "")]
        command = [sys.executable, "-m", "fuzz.child", *words]
        code = subprocess.run(command, env=os.environ | settings, check=False).returncode
        if code == 0:
            return True
        data = hand.read(8 + LONGEST)
    failing = data[8 : 8 + int.from_bytes(data[:8], "little")]
    kept = given.input or Path(f"fuzz-{name}-{hashlib.sha256(failing).hexdigest()[:12]}")
    kept.write_bytes(failing)
    again = f"cd tests && PYTHONPATH=support python -m fuzz {name} --input {kept.resolve()}"
    print(f"fuzz: {name} failed (exit code {code}, seed {given.seed}): {again}", file=sys.stderr)
    return False


if __name__ == "__main__":
    sys.exit(main())
