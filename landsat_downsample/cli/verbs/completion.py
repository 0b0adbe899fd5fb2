"""The verb that prints a script for a shell's completion, made from the parsers by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from landsat_downsample.cli.arguments import DONE, Verbs, add_verb, href_type

_EPILOG = """\
examples:
  landsat-downsample completion bash > ~/.local/share/bash-completion/completions/landsat-downsample
  landsat-downsample completion zsh > /usr/local/share/zsh/site-functions/_landsat-downsample
  landsat-downsample completion tcsh > ~/.landsat-downsample.tcsh    # and source it in ~/.tcshrc

Verbs, options, files, and the names of grids, bands, flags, methods, indices, formats and clusters are completed.
The script is static: make it anew after an update."""

#: Bash splits words at : and =, which modis:500m and SR_B4=median hold. What it has split is put together, and taken
#: off the answers.
_BASH_WORDS = """
_landsat_downsample() {
  local -a words=()
  local i last=-1 at=0 glue= word
  for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $last -ge 0 && ( $glue || $word == [:=]* ) && ${words[last]} != -* ]]; then
      words[last]+=$word
    else
      last=$((last + 1))
      words[last]=$word
    fi
    glue=
    if [[ $word == *[:=] ]]; then glue=1; fi
    if ((i == COMP_CWORD)); then at=$last; fi
  done
  local before=${words[at]%"${words[at]##*[:=]}"}
  local -a COMP_WORDS=("${words[@]}")
  local COMP_CWORD=$at
  _shtab_landsat_downsample
  COMPREPLY=("${COMPREPLY[@]#"$before"}")
}

complete -o bashdefault -F _landsat_downsample landsat-downsample
"""


def add_completion(verbs: Verbs) -> None:
    """Add the verb completion."""
    parser = add_verb(verbs, "completion", _completion, "print the script by which a shell completes words", _EPILOG)
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="whose script")


def _completion(arguments: argparse.Namespace) -> int:
    import shtab

    from landsat_downsample.cli.main import make_parser

    parser, known = make_parser(), _known()
    for action in _actions(parser):
        if action.choices is None and action.dest in known:
            # zsh takes what follows a colon for something else
            action.choices = [
                word.replace(":", r"\:") if arguments.shell == "zsh" else word for word in known[action.dest]
            ]
        elif action.type is href_type:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # what shtab looks for
    script = shtab.complete(parser, arguments.shell)
    print(script + (_BASH_WORDS if arguments.shell == "bash" else ""))
    return DONE


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Options and arguments of a parser and its verbs."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)


def _known() -> dict[str, Iterable[str]]:
    """What options take that have no fixed choices, where there are words for it."""
    from landsat_downsample.cubes.formats import FORMATS
    from landsat_downsample.execution.cluster import WORDS
    from landsat_downsample.model.bands import specs
    from landsat_downsample.model.grid_request import PLACEMENTS
    from landsat_downsample.model.indices import INDICES, ORDERS
    from landsat_downsample.model.methods import METHODS, POLICIES, STATS
    from landsat_downsample.model.named_grids import examples
    from landsat_downsample.model.options import NO_BANDS
    from landsat_downsample.model.units import UNITS

    bands = specs("oli_tirs", 2)
    names = [word for spec in bands.values() for word in (spec.common_name, spec.name) if word]
    flags = [field.name for field in bands["QA_PIXEL"].fields if field.length == 1]
    return {
        "grid": [*(word for word in PLACEMENTS if word), *examples()],
        "bands": [*names, NO_BANDS],
        "qa": POLICIES,
        "mask": [*(flag for flag in flags if flag not in ("fill", "clear")), "shadow", "adjacent"],
        "stats": tuple(STATS),
        "index": tuple(INDICES),
        "index_order": ORDERS,
        "units": UNITS,
        "format": tuple(FORMATS),
        "method": [f"{name}={method}" for name in bands for method in METHODS],
        "cluster": WORDS,
    }
