"""One target, in a process that the sanitizers may end: see `__main__`."""

from __future__ import annotations

import ctypes
import importlib.util
import mmap
import random
import signal
import sys
import time
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

NAME = "landsat_downsample.reduce._native"

#: Seconds that no input may take.
HUNG = 60


def main(*words: str) -> None:
    library, name, seed, seconds, hand, single = words
    kernel = use(library)
    from fuzz import targets

    target = getattr(targets, name.capitalize())(kernel)
    with open(hand, "r+b") as file, mmap.mmap(file.fileno(), 0) as place:

        def run(data: bytes) -> None:
            place[:8], place[8 : 8 + len(data)] = len(data).to_bytes(8, "little"), data
            signal.alarm(HUNG)  # ends the process
            target.run(data)
            signal.alarm(0)

        if single:
            run(Path(single).read_bytes())
        else:
            explore(target, run, kernel, random.Random(int(seed)), float(seconds))


def use(library: str) -> ctypes.CDLL:
    """Let the package load this extension for its own."""
    loader = ExtensionFileLoader(NAME, library)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(NAME, loader))
    loader.exec_module(module)
    sys.modules[NAME] = module
    return ctypes.CDLL(library)


def explore(target, run, kernel: ctypes.CDLL, rng: random.Random, seconds: float) -> None:
    """Run what is made of seeds, and of what led to new edges."""
    edges = ctypes.c_uint32.in_dll(kernel, "edges")
    end, runs, corpus = time.monotonic() + seconds, 0, target.seeds(rng)
    for data in corpus:
        run(data)
    known = edges.value
    while time.monotonic() < end:
        data = target.changed(rng, corpus)
        run(data)
        runs += 1
        if edges.value > known:
            known = edges.value
            corpus.append(data)
    words = f"{runs} inputs, {known} edges, {len(corpus)} kept, {target.accepted} accepted"
    print(f"fuzz: {type(target).__name__.lower()}: {words}, nothing found", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
