"""CPU of the whole CWL workflow, run natively on full-size bands, every pixel read.

python -m benchmarks.workflow            # one band, and a scene of four
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import landsat_downsample as ld

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
REPEATS = 3
#: Bounds in CPU seconds by the number of bands.
CASES = {1: 6.2, 4: 9.8}
_BANDS = ("SR_B4", "SR_B3", "SR_B2", "SR_B5")


def cpu(argv: list[str]) -> float:
    """Run a command to its end; return the CPU seconds of all its processes."""
    here = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}  # where cwltool looks for our command
    before = os.times()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=here)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def measure(scene: Path, folder: Path) -> dict[str, float]:
    """Measure the workflow, and each of its commands on its own, once."""
    tool, runner = str(BIN / "landsat-downsample"), [str(BIN / "cwltool"), "--quiet", "--no-container"]
    job = folder / "job.yml"
    job.write_text(f"href: {{class: Directory, path: {scene}}}\nto: published\nfactor: 10\n")
    staged, made = folder / "staged", folder / "made"
    return {
        "workflow": cpu([*runner, "--outdir", str(folder / "out"), str(ROOT / "cwl" / "workflow.cwl"), str(job)]),
        "stage-in": cpu([tool, "stage-in", str(scene), "--to", str(staged)]),
        "run": cpu([tool, "run", str(staged / scene.name), "--to", str(made), "--factor", "10"]),
        "stage-out": cpu([tool, "stage-out", str(made), "--to", str(folder / "there")]),
    }


def main() -> int:
    """Print a line for each case; return 1 if one misses its bound."""
    missed = False
    for count, bound in CASES.items():
        with tempfile.TemporaryDirectory() as place:
            scene = ld.make_scene(Path(place) / "scene", bands=list(_BANDS[:count]))
            rounds = []
            for number in range(REPEATS):
                folder = Path(place) / str(number)
                folder.mkdir()
                rounds.append(measure(scene, folder))
        middle = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
        cwltool = middle["workflow"] - sum(value for name, value in middle.items() if name != "workflow")
        facts = ", ".join(f"{name} {value:.2f}" for name, value in middle.items())
        print(f"{count} band(s): {facts}, so cwltool itself {cwltool:.2f} CPU-s; at most {bound} for the workflow")
        missed |= middle["workflow"] > bound
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
