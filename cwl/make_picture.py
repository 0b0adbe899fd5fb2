"""Draw workflow.cwl: workflow.dot has what cwltool says of it, workflow.svg is how graphviz draws that.

python cwl/make_picture.py            # writes both; needs cwltool, and dot of the package graphviz
python cwl/make_picture.py --check    # exit code 1 if workflow.dot is out of date; needs cwltool
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
WORKFLOW, DOT, PICTURE = HERE / "workflow.cwl", HERE / "workflow.dot", HERE / "workflow.svg"
_CWLTOOL = [sys.executable, "-m", "cwltool", "--quiet", "--enable-ext"]
_NODE = re.compile(r'"main/([^"]+)" \[[^]]*label="([^"]*)"')
_EDGE = re.compile(r'"main/([^"]+)" -> "main/([^"]+)"')
_HEAD = """\
digraph workflow {
rankdir=LR; bgcolor="white"; nodesep=0.15; ranksep=0.5;
node [fontname="Helvetica", fontsize=12, shape=box, style=filled, penwidth=0, fillcolor="#e3eef6", margin="0.14,0.08"];
edge [color="#7a8791", arrowsize=0.7];
"""
_STEP = 'style="filled,rounded", penwidth=1, color="#b58b00", fillcolor="#fff4cc", fontsize=14'


def dot_text() -> str:
    """Ask cwltool for the graph, and put what comes from or goes to the same steps into one box."""
    with tempfile.TemporaryDirectory() as folder:
        # Packed, because the edges between steps are missing where a tool is another file with an id.
        packed = Path(folder) / "packed.cwl"
        packed.write_text(_cwltool("--pack", str(WORKFLOW)), encoding="utf-8")
        drawn = _cwltool("--print-dot", str(packed))
    edges = sorted(set(_EDGE.findall(drawn)))
    if not edges:
        sys.exit(f"cwltool draws nothing of {WORKFLOW.name}: {drawn}")
    steps = {start for start, _ in edges} & {end for _, end in edges}
    labels = {name: label for name, label in _NODE.findall(drawn) if name in steps}
    lines = [f'"{name}" [{_STEP}, label="{name}\\n{label}"];' for name, label in sorted(labels.items())]
    lines += [f'"{start}" -> "{end}" [penwidth=2];' for start, end in edges if {start, end} <= steps]
    return _HEAD + "\n".join([*lines, *_boxes(edges, steps)]) + "\n}\n"


def _boxes(edges: list[tuple[str, str]], steps: set[str]) -> list[str]:
    """Draw inputs and outputs: a box for all those with the same steps at the other end."""
    ends: dict[str, tuple[list[str], list[str]]] = {}
    for start, end in edges:
        if start not in steps:
            ends.setdefault(start, ([], []))[1].append(end)
        if end not in steps:
            ends.setdefault(end, ([], []))[0].append(start)
    groups: dict[tuple, list[str]] = {}
    for name, (sources, targets) in sorted(ends.items()):
        groups.setdefault((tuple(sources), tuple(targets)), []).append(name)
    lines = []
    for (sources, targets), names in groups.items():
        text = "".join(f"{name}\\l" for name in names)
        lines.append(f'"{names[0]}" [label="{text}"];')
        lines += [f'"{source}" -> "{names[0]}";' for source in sources]
        lines += [f'"{names[0]}" -> "{target}";' for target in targets]
    return lines


def _cwltool(*words: str) -> str:
    done = subprocess.run([*_CWLTOOL, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def main(argv: list[str]) -> int:
    """Write or check the picture; return the exit code."""
    made = dot_text()
    if argv == ["--check"]:
        if DOT.read_text(encoding="utf-8") == made:
            return 0
        print(f"{DOT.name} is out of date: run python cwl/make_picture.py", file=sys.stderr)
        return 1
    DOT.write_text(made, encoding="utf-8")
    subprocess.run(["dot", "-Tsvg", f"-o{PICTURE}", str(DOT)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
