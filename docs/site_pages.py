"""Pages of the site whose source is elsewhere: notebooks, the changelog and others, the help of each verb, the API."""

import os
import re
import shutil
from pathlib import Path

import landsat_downsample as ld
from landsat_downsample.cli.main import make_parser

REPOSITORY = "https://github.com/landsat-downsample/landsat-downsample"
ROOT = Path(__file__).resolve().parents[1]
#: What the site has of files beside docs/, by its name there.
COPIES = {
    "project/changelog.md": "CHANGELOG.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/security.md": "SECURITY.md",
    "project/benchmarks.md": "benchmarks/RESULTS.md",
    "project/bounds.md": "benchmarks/BOUNDS.md",
    "project/simulation.md": "benchmarks/SIMULATION.md",
    **{f"gallery/{path.name}": f"notebooks/{path.name}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))},
}
_LINK = re.compile(r"(!?)\]\(((?!\w+:|#|/)[^)\s]+)\)")


def make(docs: Path) -> None:
    """Write the pages."""
    for folder in ("project", "gallery", "reference"):
        shutil.rmtree(docs / folder, ignore_errors=True)
        (docs / folder).mkdir()
    for name, source in COPIES.items():
        if (ROOT / source).exists():
            shutil.copy(ROOT / source, docs / name)
    (docs / "reference" / "options.md").write_text(options())
    (docs / "reference" / "api.rst").write_text(api())


def options() -> str:
    """The page of each verb's options, from the parsers."""
    os.environ["COLUMNS"] = "100"  # as wide as a page
    verbs = make_parser()._subparsers._group_actions[0].choices
    text = "# Options of each verb\n\nWhat `landsat-downsample VERB --help` says, of version " + ld.__version__ + ".\n"
    for verb, parser in verbs.items():
        text += f"\n## {verb}\n\n```text\n{parser.format_help()}```\n"
    return text


def api() -> str:
    """The page of the API: what `help(landsat_downsample)` lists, in its order, each on a page of its own."""
    groups = re.findall(r"^(\w[\w ]+?)  +((?:[\w, ()-]|\n {15})+)$", ld.__doc__, re.M)
    seen: set[str] = set()
    text = "Python\n======\n"
    for title, words in groups:
        plain = re.sub(r"\(.*?\)", "", words)  # what a module holds has a table of its own
        names = [word for word in re.findall(r"\w+", plain) if word in ld.__all__ and word != "plot"]
        seen |= set(names)
        text += _table(title, names)
    rest = [name for name in ld.__all__ if name not in seen and name != "plot"]
    text += _table("What they give", [name for name in rest if not name.endswith("Error")])
    text += _table("Errors", [name for name in rest if name.endswith("Error")])
    text += _table("Plots", ld.plot.__all__, "api.plot")
    return text + _table("The accessor .landsat", ["DatasetAccessor", "DataArrayAccessor"], "api.accessor")


def _table(title: str, names: list[str], module: str = "") -> str:
    home = ".".join(filter(None, ("landsat_downsample", module)))
    lines = "\n".join(f"   {name}" for name in names)
    return (
        f"\n{title}\n{'-' * len(title)}\n\n.. currentmodule:: {home}\n\n.. autosummary::\n   :toctree: api\n\n{lines}\n"
    )


def lead_links(app, docname: str, source: list[str]) -> None:
    """Turn links to files of the repository into links to the site's pages, else to the repository."""
    here = next((name for name in COPIES if name.rpartition(".")[0] == docname), None)
    folder = Path(COPIES[here]).parent if here else (Path("docs") / docname).parent
    pages = {target: name for name, target in COPIES.items()}

    def led(found: re.Match[str]) -> str:
        path, hash_, anchor = found[2].partition("#")
        target = os.path.normpath(folder / path)
        if not (ROOT / target).exists():
            return found[0]  # Sphinx tells of it
        if target in pages:
            site = pages[target]
        elif target.startswith("docs/"):
            site = target.removeprefix("docs/")
        elif re.search(r"\.(png|svg)$", target):
            return f"{found[1]}]({os.path.relpath(ROOT / target, Path(app.srcdir, docname).parent)})"
        else:
            kind = "tree" if (ROOT / target).is_dir() else "blob"
            return f"{found[1]}]({REPOSITORY}/{kind}/main/{target}{hash_}{anchor})"
        return f"{found[1]}]({os.path.relpath(site, Path(docname).parent)}{hash_}{anchor})"

    source[0] = _LINK.sub(led, source[0])
