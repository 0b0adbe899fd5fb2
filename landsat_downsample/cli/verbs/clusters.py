"""The verb that finds and removes what runs left on Kubernetes: clusters."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from landsat_downsample.cli.arguments import DONE, Parser, Verbs, add_verb, say

if TYPE_CHECKING:
    from landsat_downsample.execution.kubernetes import Made

_EPILOG = """\
examples:
  landsat-downsample clusters list
  landsat-downsample clusters clean            # says what it would remove
  landsat-downsample clusters clean --yes

Only clusters with the label app.kubernetes.io/managed-by=landsat-downsample are seen, in every
namespace that may be read. One whose run has sent no heartbeat for ten minutes is an orphan.
stdout has one JSON line for each, or a table on a terminal"""


def add_clusters(verbs: Verbs) -> None:
    """Add the verb ``clusters``."""
    parser = add_verb(verbs, "clusters", _list, "list the clusters that runs made on Kubernetes, or clean up", _EPILOG)
    actions = parser.add_subparsers(metavar="ACTION", title="actions", parser_class=Parser, required=True)
    listing = add_verb(actions, "list", _list, "list the clusters that runs made")
    cleaning = add_verb(actions, "clean", _clean, "list orphans; remove them with --yes")
    cleaning.add_argument("--yes", action="store_true", help="remove them, and wait until their pods are gone")
    cleaning.add_argument("--all", action="store_true", help="clusters of living runs too")
    for action in (listing, cleaning):
        action.add_argument("--namespace", metavar="NAME", help="look here only (default: wherever one may)")


def _list(arguments: argparse.Namespace) -> int:
    from landsat_downsample.execution import kubernetes
    from landsat_downsample.execution.kube_api import Api

    with Api() as api:
        found = kubernetes.find(api, arguments.namespace)
    _show([_record(made) for made in found], "no cluster of a run was found")
    return DONE


def _clean(arguments: argparse.Namespace) -> int:
    from landsat_downsample.execution import kubernetes
    from landsat_downsample.execution.kube_api import Api

    with Api() as api:
        found = [made for made in kubernetes.find(api, arguments.namespace) if arguments.all or made.orphan]
        if arguments.yes:
            gone = kubernetes.clean(api, arguments.namespace, everything=arguments.all)
            _show([_record(made) | {"removed": True} for made in gone], "there was nothing to remove")
            return DONE
    _show([_record(made) | {"removed": False} for made in found], "there is nothing to remove")
    if found and not arguments.quiet:
        say("nothing was removed yet: add --yes")
    return DONE


def _record(made: Made) -> dict[str, Any]:
    """A cluster in JSON types."""
    return {
        "name": made.name,
        "namespace": made.namespace,
        "run": made.run,
        "owner": made.owner,
        "state": "orphan" if made.orphan else "alive",
        "phase": made.phase,
        "workers": made.workers,
        "age": round(made.age),
        "silent": round(made.silent),
    }


def _show(records: list[dict[str, Any]], nothing: str) -> None:
    if not sys.stdout.isatty():
        for record in records:
            print(json.dumps(record), flush=True)
        return
    from landsat_downsample.display.tables import console, table
    from landsat_downsample.model.words import duration_words

    out = console()
    if not records:
        out.print(nothing)
        return
    rows = table(*records[0])
    for record in records:
        times = {key: duration_words(record[key]) for key in ("age", "silent")}
        rows.add_row(*(str(value) for value in (record | times).values()))
    out.print(rows)
