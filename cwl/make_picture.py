"""Draw workflow.cwl: workflow.dot is what cwltool says of it, workflow.svg how graphviz draws that.

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


def dot_text() -> str:
    """Ask cwltool for the graph, with left to right, short names and the colours of the page it is on."""
    with tempfile.TemporaryDirectory() as folder:
        # Packed, because the edges between steps are missing where a tool is another file with an id.
        packed = Path(folder) / "packed.cwl"
        packed.write_text(_cwltool("--pack", str(WORKFLOW)), encoding="utf-8")
        drawn = _cwltool("--print-dot", str(packed))
    lines = drawn.replace("main/", "").replace('bgcolor="#eeeeee"', 'bgcolor="white"').splitlines()
    return "\n".join(["digraph G {", "rankdir=LR;", *dict.fromkeys(_braced(lines[1:]))]) + "\n}\n"


def _braced(lines: list[str]) -> list[str]:
    """Put each subgraph on one line and leave out the last brace, so that only real repetitions are equal lines."""
    text = re.sub(r"\}\s*$", "", "\n".join(line for line in lines if line.strip()))
    return re.sub(r"\{[^}]*\}", _on_one_line, text).splitlines()


def _on_one_line(match: re.Match) -> str:
    return " ".join(dict.fromkeys(match.group().splitlines()))


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
