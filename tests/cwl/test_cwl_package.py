"""The CWL files against each other, against the command line and against what validates them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import cwl_cases
import pytest
import yaml
from cwl_cases import CWL, folder
from staging_cases import check_catalogue

import landsat_downsample as ld
from landsat_downsample.cli.main import make_parser
from landsat_downsample.products.staging.stage_in import stage_in

STEPS = {"stage_in": "stage-in", "downsample": "run", "stage_out": "stage-out"}
EVERY = STEPS | {"notebook": "notebook"}
#: Inputs that speak to the runner and not to the command.
OURS = {"aws_credentials", "network_access", "workers", "ram"}
PACKAGE = f"{CWL / 'app-package.cwl'}#landsat-downsample"


def actions(verb: str) -> list:
    (verbs,) = [action for action in make_parser()._actions if hasattr(action, "choices") and action.choices]
    return verbs.choices[verb]._actions


def flags(binding: dict) -> str:
    return binding.get("prefix", "").rstrip("=")


# One vocabulary ---------------------------------------------------------------------------------


@pytest.mark.parametrize("step", EVERY)
def test_every_input_is_an_option_of_the_verb(step):
    (tool,) = cwl_cases.tools(step)
    known = {flag: action for action in actions(EVERY[step]) for flag in action.option_strings}
    places = [action for action in actions(EVERY[step]) if not action.option_strings]
    for name, reported in tool["inputs"].items():
        if name in OURS:
            continue
        items = (
            reported["type"][1]
            if isinstance(reported["type"], list) and isinstance(reported["type"][1], dict)
            else reported
        )
        prefix = flags(items["inputBinding"])
        if not prefix:
            (action,) = places
            assert name in (action.dest, action.metavar.lower())
            continue
        action = known[prefix]
        assert action.dest == name, f"{step}.cwl calls {prefix} {name}"
        assert (action.nargs == 0) == (reported["type"] == "boolean?"), name
    assert {argument.partition("=")[0] for argument in tool["arguments"]} <= set(known)


def test_downsample_offers_what_run_offers():
    """An option that run gains is offered here too, or is named here as one that makes no sense in a step."""
    senseless = {"help", "verbose", "quiet", "config", "to", "overwrite", "sources", "retry_failed", "part"}
    senseless |= {
        "relative_to",
        "memory",
        "log_format",
        "requests_per_host",
        "search_again",
        "requester_pays",
        "allow_host",
    }
    senseless |= {"stac", "collection", "bbox", "datetime", "path_row", "cloud_cover", "tier", "limit", "search_time"}
    senseless |= {"tiles"}  # a step gives one product: name the tile in its grid, and scatter over tiles
    (tool,) = cwl_cases.tools("downsample")
    offered = {action.dest for action in actions("run")} - senseless
    assert offered <= set(tool["inputs"]), offered - set(tool["inputs"])


@pytest.mark.parametrize("name", ["workflow", "scatter"])
def test_a_workflow_offers_what_its_steps_offer(name):
    inputs = {key for step in STEPS for key in cwl_cases.tools(step)[0]["inputs"]} - {"source", "folder"}
    for part in cwl_cases.parts(name).values():
        if part["class"] == "Workflow":
            assert set(part["inputs"]) - {"notebook"} == inputs, part.get("id")


def test_steps_pass_every_input_on():
    for name in ("workflow", "scatter", "app-package"):
        parts = cwl_cases.parts(name)
        for part in parts.values():
            for step in part["steps"].values() if part["class"] == "Workflow" else ():
                run = step["run"]
                called = parts[run[1:]] if run.startswith("#") else cwl_cases.parts(run.removesuffix(".cwl"))
                called = called if "inputs" in called else next(iter(called.values()))
                assert set(step["in"]) - {"wanted"} == set(called["inputs"]), (name, run)


#: What notebooks say that no verb and no step does: which service is asked, and what is deployed there.
OF_A_SERVICE = {"ades", "package"}
VERBS = {"stage_in": "stage-in", "downsample_landsat": "run", "batch_on_kubernetes": "run", "submit_via_ades": "run"}
KINDS = {"str": "string", "float": "float", "int": "int", "bool": "boolean", "list": "string[]"}


@pytest.mark.parametrize("name", VERBS)
def test_notebooks_say_it_in_the_same_words(name):
    """A parameter has the name of the verb's option and of the workflow's input, and the kind of value of that."""
    import papermill

    found = papermill.inspect_notebook(str(CWL.parent / "notebooks" / f"{name}.ipynb"))
    verb = {action.dest for action in actions(VERBS[name])}
    steps = cwl_cases.tools("downsample")[0]["inputs"] | cwl_cases.parts("workflow")["workflow"]["inputs"]
    assert found
    for parameter in found.values():
        word = parameter["name"]
        if word == "sources":  # many, of which each is one to a step
            assert word in verb and parameter["inferred_type_name"] == "list" and "source" in steps
        elif word not in OF_A_SERVICE:
            assert word in (verb | {"source"} if "sources" in verb else verb)
            kind = steps[word]["type"]
            assert word in ("source", "href") or kind.rstrip("?") == KINDS[parameter["inferred_type_name"]], word


# One image, one version, no copies that drift ---------------------------------------------------


def test_one_image_of_this_version_everywhere():
    image, notebook = cwl_cases.images()
    assert image.rpartition(":")[2] == ld.__version__ and notebook == f"{image}-notebook"
    for path in CWL.glob("*.cwl"):
        expected = {notebook if path.stem == "notebook" else image}
        assert set(re.findall(r"dockerPull: ([^\s}]+)", path.read_text())) == (
            set() if path.stem == "workflow" else expected
        )


def test_the_package_has_this_version():
    record = yaml.safe_load((CWL / "app-package.cwl").read_text())
    assert record["s:softwareVersion"] == ld.__version__


#: By SIGINT, SIGABRT, SIGKILL, SIGSEGV, SIGTERM, in a container or Python's way.
KILLED = [130, 134, 137, 139, 143, -6, -9, -11, -15]
CODES = {"successCodes", "temporaryFailCodes", "permanentFailCodes"}


@pytest.mark.parametrize("step", EVERY)
def test_exit_codes_are_those_of_the_command(step):
    (tool,) = cwl_cases.tools(step)
    assert [tool["successCodes"], tool["temporaryFailCodes"], tool["permanentFailCodes"]] == [[0], [75], [1, 2, 3]]


@pytest.mark.parametrize("step", STEPS)
def test_scatter_has_the_same_tools(step):
    """All but what scatter.cwl says it does otherwise."""
    (tool,), other = cwl_cases.tools(step), cwl_cases.parts("scatter")[step]
    assert other["successCodes"] == sorted(code for name in CODES for code in tool[name]) + KILLED
    assert other["outputs"].pop("exit_code") == {"type": "int", "outputBinding": {"outputEval": "$(runtime.exitCode)"}}
    if step == "stage_out":  # one product of many, and the href of a failed one is empty
        assert [f"{argument}/.." for argument in other.pop("arguments")] == tool.pop("arguments")
        assert other["outputs"]["published"]["outputBinding"]["glob"] == "./$(inputs.to)/*_downsampled"
        for record in (tool, other):
            del record["outputs"]["published"], record["outputs"]["item_href"]
    free = CODES | {"id", "stdout", "stderr", "cwlVersion", "$namespaces"}
    assert {k: v for k, v in other.items() if k not in free} == {k: v for k, v in tool.items() if k not in free}


def test_the_package_has_the_same_tool():
    (tool,), other = cwl_cases.tools("downsample"), cwl_cases.parts("app-package")["downsample"]
    left_out = {"cluster", "network_access", "timeout", "min_spin_time", "max_spin_time"}
    assert set(other["inputs"]) == set(tool["inputs"]) - left_out
    for name, reported in other["inputs"].items():
        same = ("inputBinding",) if name == "source" else ("inputBinding", "type", "default")
        assert [reported.get(key) for key in same] == [tool["inputs"][name].get(key) for key in same]
    for key in ("baseCommand", "arguments", "hints", *CODES):
        assert other[key] == tool[key]
    workflow = cwl_cases.parts("app-package")["landsat-downsample"]
    assert set(workflow["inputs"]) == set(other["inputs"])


def test_the_notebook_takes_what_downsample_takes():
    """All but what another cluster, or a simulated load, would need."""
    (tool,), (other,) = cwl_cases.tools("downsample"), cwl_cases.tools("notebook")
    left_out = {"cluster", "network_access", "min_spin_time", "max_spin_time"}
    assert set(other["inputs"]) == set(tool["inputs"]) - left_out
    for name, reported in other["inputs"].items():
        assert [reported.get(key) for key in ("type", "default", "inputBinding")] == [
            tool["inputs"][name].get(key) for key in ("type", "default", "inputBinding")
        ]
    assert other["requirements"]["ResourceRequirement"] == tool["requirements"]["ResourceRequirement"]


def test_plain_cwl():
    """No JavaScript, no shell; containers as a hint; the network for staging only; room told for each tool."""
    for name in cwl_cases.FILES:
        text = (CWL / f"{name}.cwl").read_text()
        assert "InlineJavascript" not in text and "ShellCommand" not in text and "${" not in text
        for tool in cwl_cases.tools(name):
            needs = tool["requirements"]
            assert "DockerRequirement" in tool["hints"] and "DockerRequirement" not in needs
            assert {"coresMin", "coresMax", "ramMin", "ramMax"} <= set(needs["ResourceRequirement"])
            network = needs.get("NetworkAccess", {}).get("networkAccess", False)
            staging = "aws_credentials" in tool["inputs"]
            assert network is True if staging else network in (False, "$(inputs.network_access)")


def test_secrets_are_reported_wherever_they_pass():
    for name in cwl_cases.FILES:
        for part in cwl_cases.parts(name).values():
            if "aws_credentials" in part["inputs"]:
                assert part["hints"]["cwltool:Secrets"] == {"secrets": ["aws_credentials"]}
                if part["class"] == "CommandLineTool":
                    assert part["requirements"]["WorkReuse"] == {"enableReuse": False}
                    (file,) = part["requirements"]["InitialWorkDirRequirement"]["listing"]
                    binding = {"prefix": "--credentials-once", "valueFrom": file["entryname"]}
                    assert part["inputs"]["aws_credentials"]["inputBinding"] == binding
                    assert binding["prefix"] in {
                        flag for a in actions(part["baseCommand"][1]) for flag in a.option_strings
                    }


# Made files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["make_ogcapppkg.py", pytest.param("make_picture.py", marks=pytest.mark.slow)])
def test_made_files_are_up_to_date(script):
    done = subprocess.run([sys.executable, CWL / script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_descriptor_has_the_types_that_cwl2ogc_gives():
    import cwl2ogc
    from cwl_utils.parser import load_document_by_uri

    theirs = cwl2ogc.BaseCWLtypes2OGCConverter(load_document_by_uri(PACKAGE)).get_inputs()
    ours = json.loads((CWL / "ogcapppkg.json").read_text())["processDescription"]["inputs"]
    assert list(ours) == list(theirs)
    for name, reported in ours.items():
        assert reported["minOccurs"] == theirs[name]["minOccurs"], name
        if name not in ("source", "method"):
            assert reported["schema"]["type"] == theirs[name]["schema"]["type"], name


# The Application Package ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", cwl_cases.FILES)
def test_cwltool_validates(name):
    words = [cwl_cases.BIN / "cwltool", "--validate", "--enable-ext", CWL / f"{name}.cwl"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "is valid CWL" in done.stdout + done.stderr, done.stderr
    reported = [line for line in done.stderr.splitlines() if "WARNING" in line and "no default process" not in line]
    assert reported == [], done.stderr


@pytest.mark.slow
def test_eoap_validator_finds_no_fault():
    words = [sys.executable, "-m", "eoap_validator", "--format", "json", PACKAGE]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    wrong = [found["rule_id"] for found in findings(report) if found["status"] == "failed"]
    assert done.returncode == 0 and not wrong, wrong
    review = {found["rule_id"] for found in findings(report) if found["status"] == "needs-review"}
    assert review == {"EOAP.CONTAINER.HINT"}  # so that cwltool --no-container works too


def findings(report: dict) -> list[dict]:
    return next(value for value in report.values() if isinstance(value, list) and value and "status" in value[0])


def check_product(catalogue: Path, product: Path) -> None:
    import pystac

    root = pystac.Catalog.from_file(str(catalogue))
    (item,) = root.get_items(recursive=True)
    assert item.id == product.name
    listed = {Path(asset.get_absolute_href()) for asset in item.assets.values()}
    assert all(path.is_file() and catalogue.parent in path.parents for path in listed)
    assert {path.name for path in listed} | {f"{product.name}.stac.json"} >= {path.name for path in product.iterdir()}


@pytest.fixture(scope="module")
def staged(scene, tmp_path_factory) -> Path:
    catalogue = Path(stage_in(str(scene), str(tmp_path_factory.mktemp("staged"))))
    check_catalogue(str(catalogue))
    # A platform names the folder as it likes.
    return catalogue.parent.rename(catalogue.parents[1] / "9w1v9hz0")


def test_the_package_from_catalogue_to_catalogue(staged, product, tmp_path):
    done = cwl_cases.run("app-package", {"source": folder(staged), "factor": 10}, tmp_path)
    assert done.status == "success", done
    check_product(done.path("product") / "catalog.json", product)


URI = "https://raw.githubusercontent.com/eoap/schemas/main/string_format.yaml"
_STAGING = """\
cwlVersion: v1.2
class: CommandLineTool
id: {id}
baseCommand: [landsat-downsample, {verb}, {to}]
{inputs}
requirements:
  NetworkAccess: {{networkAccess: true}}
  SchemaDefRequirement: {{types: [{{$import: string_format.yaml}}]}}
  InitialWorkDirRequirement:
    listing: [{listing}]
"""
_IN = """\
inputs: {reference: string}
arguments: [$(inputs.reference.value)]
outputs: {staged: {type: Directory, outputBinding: {glob: staged/*}}}"""
_OUT = """\
inputs: {product: {type: Directory, inputBinding: {position: 1}}, to: string}
arguments: [{prefix: --to, valueFrom: $(inputs.to)}]
outputs: {place: string}"""


@pytest.mark.slow
def test_the_package_wrapped_by_a_platform(staged, product, web, scene, tmp_path):
    """What eoap-cwlwrap puts around it: a stage-in by URL and a stage-out, here made of our own verbs."""
    (tmp_path / "string_format.yaml").write_text(
        "- {type: record, name: URI, fields: [{name: value, type: string}]}\n"  # theirs is on the web
    )
    wrapped = tmp_path / "wrapped.cwl"
    wrapped.write_text(wrap(tmp_path))
    href = {"value": f"{web.endpoint}/scene/{scene.name}_MTL.json"}
    done = cwl_cases.command(
        f"{wrapped}#main", {"source": href, "factor": 10, "to": str(tmp_path / "place")}, tmp_path / "out"
    )
    assert done.status == "success", done.log
    assert done.outputs["product"] == {"value": "published"}
    published = tmp_path / "place" / product.name
    assert {path.name for path in published.glob("*.TIF")} == {path.name for path in product.glob("*.TIF")}
    assert (published / f"{product.name}.stac.json").is_file()


def wrap(place: Path) -> str:
    from cwl_loader import load_cwl_from_location
    from cwl_utils.parser import save
    from eoap_cwlwrap import wrap

    reported = {"id": "bring", "verb": "stage-in", "to": "--to=staged", "inputs": _IN, "listing": ""}
    (place / "in.cwl").write_text(_STAGING.format(**reported))
    answer = '{entryname: cwl.output.json, entry: \'{"place": {"value": "published"}}\'}'
    reported = {"id": "fetch", "verb": "stage-out", "to": "--quiet", "inputs": _OUT, "listing": answer}
    (place / "out.cwl").write_text(_STAGING.format(**reported))
    first, last = (load_cwl_from_location(str(place / name)) for name in ("in.cwl", "out.cwl"))
    first.inputs[0].type_ = last.outputs[0].type_ = f"{URI}#URI"
    package = load_cwl_from_location(str(CWL / "app-package.cwl"))
    (workflow,) = [part for part in package if part.id.endswith("landsat-downsample")]
    graph = [wrap(workflow, directory_stage_in=first, directory_stage_out=last), first, last, *package]
    text = json.dumps(save(graph, relative_uris=False))
    return text.replace(URI, (place / "string_format.yaml").as_uri())
