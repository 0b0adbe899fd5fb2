"""Write environment.md, the table of environment variables, from landsat_downsample/model/environment.json.

python docs/make_environment.py
"""

from __future__ import annotations

from pathlib import Path

from landsat_downsample.model.environment import variables

PAGE = Path(__file__).with_name("environment.md")

_TOP = """\
# Environment variables

None has to be set. `landsat-downsample doctor --env` shows which are, without secrets; `doctor` says which credentials
they lead to. What an option of the command says comes before its variable. Workers of Dask have an environment of
their own: see `k8s/cluster.yaml`.
"""


def page() -> str:
    """The page as it is to be."""
    lines, group = [_TOP.rstrip()], ""
    for one in variables().values():
        if one.group != group:
            group = one.group
            lines += ["", f"## {group}", "", "| variable | what for | where not set |", "|---|---|---|"]
        lines.append(f"| `{one.name}` | {one.meaning} | {one.default} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
