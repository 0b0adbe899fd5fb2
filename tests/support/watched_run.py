"""A run on a cluster whose dashboard somebody looks at, to the end of the cluster and beyond."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from bokeh.client import pull_session

#: Says where the dashboard is, runs, and ends the cluster when a line is given.
_SCRIPT = """
import sys
import landsat_downsample as ld
from landsat_downsample.execution.cluster import dashboard_link

if __name__ == "__main__":
    spec, source, to = sys.argv[1:]
    with ld.cluster(spec, workers=1) as client:
        print(dashboard_link(client), flush=True)
        sys.stdin.readline()
        ld.run(ld.plan(source, to, factor=7), client=client)
    print("left", flush=True)
    sys.stdin.readline()
"""


def watched(folder: Path, spec: str, source: str, to: str) -> tuple[int, str]:
    """Exit code and stderr of a run, which ends while a browser shows the dashboard, and asks for it again."""
    script = folder / "watched.py"
    script.write_text(_SCRIPT)
    process = subprocess.Popen(
        [sys.executable, script, spec, source, to],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        link = process.stdout.readline().strip()
        sessions = [pull_session(url=link)] if link else []
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "left\n" or process.wait()
        with suppress(OSError, HTTPException):
            urlopen(link)
        _, reported = process.communicate("\n")
    for session in sessions:
        session.close()
    return process.returncode, reported
