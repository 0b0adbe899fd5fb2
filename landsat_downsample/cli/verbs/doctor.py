"""The verb that looks whether a run would work: doctor."""

from __future__ import annotations

import argparse
import json

from landsat_downsample.cli.arguments import (
    DONE,
    NONE_SUCCEEDED,
    SOURCE,
    Verbs,
    add_access,
    add_verb,
    count,
    href_type,
    number,
)

_EPILOG = """\
examples:
  landsat-downsample doctor
  landsat-downsample doctor SCENE.tar --to s3://bucket/products --cluster kubernetes

stdout has a line for each check: ok, no (and what to do), or -- (not asked, or not applicable).
Exit code 0 if there is no "no", else 1"""


def add_doctor(verbs: Verbs) -> None:
    """Add the verb ``doctor``."""
    text = "look whether a run would work: versions, credentials, source, destination, cluster"
    parser = add_verb(verbs, "doctor", _doctor, text, _EPILOG)
    parser.add_argument("source", nargs="?", type=href_type, metavar="SOURCE", help=SOURCE)
    parser.add_argument("--to", type=href_type, metavar="DEST", help="folder or prefix; gets a probe that is removed")
    parser.add_argument(
        "--cluster", type=href_type, metavar="SPEC",
        help="as for run; a cluster that is made here gets one worker, and is removed",
    )  # fmt: skip
    parser.add_argument(
        "--factor", type=number, metavar="N", help="as for run: compare DEST's room with what the product will take"
    )
    parser.add_argument("--scenes", type=count, default=1, metavar="N", help="and so many like it (default: 1)")
    parser.add_argument("--json", action="store_true", help="one JSON line for each check")
    parser.add_argument(
        "--env", action="store_true",
        help="instead: the environment variables that matter, with their values but for secrets",
    )  # fmt: skip
    add_access(parser)


def _doctor(arguments: argparse.Namespace) -> int:
    if arguments.env:
        return _environment(as_json=arguments.json)
    from landsat_downsample.cli.doctor.examine import Asked, examine

    about = (arguments.source, arguments.to, arguments.cluster, arguments.requester_pays)
    asked = Asked(*about, factor=arguments.factor, scenes=arguments.scenes)
    code = DONE
    for finding in examine(asked):
        print(json.dumps(finding.to_dict()) if arguments.json else finding, flush=True)
        code = NONE_SUCCEEDED if finding.state == "no" else code
    return code


def _environment(*, as_json: bool) -> int:
    from dataclasses import asdict

    from landsat_downsample.display.tables import show_environment, value_of
    from landsat_downsample.model.environment import variables

    if as_json:
        for one in variables().values():
            print(json.dumps(asdict(one) | {"value": value_of(one)}))
    else:
        show_environment(variables().values())
    return DONE
