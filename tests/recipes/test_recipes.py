"""The recipes for batch systems: their commands run as the pages write them, on the engine where it can be had."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from command import call, products, wait_until
from conftest_s3 import s3_env, seaweed  # noqa: F401 - fixtures
from engines import BIN, gateway, slurm  # noqa: F401 - fixtures

import landsat_downsample as ld
from landsat_downsample.batch.runs import status
from landsat_downsample.testing.seaweed import BUCKET

PAGES = Path(__file__).parents[2] / "docs" / "recipes"
ENGINES = [path.stem for path in sorted(PAGES.glob("*.md")) if path.stem != "README"]
SCENES = 4


def files(page: str) -> dict[str, str]:
    """The files that a page shows, by name."""
    text = (PAGES / f"{page}.md").read_text()
    return {name: body for name, body in re.findall(r"^```\w+ (\S+)\n(.*?)^```$", text, re.M | re.S)}


def commands(page: str) -> list[str]:
    """The commands that a page shows, a block each."""
    return re.findall(r"^```sh\n(.*?)^```$", (PAGES / f"{page}.md").read_text(), re.M | re.S)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    return [ld.make_scene(folder, size=(101, 87), bands=["SR_B4", "QA_PIXEL"], seed=seed) for seed in range(SCENES)]


@pytest.fixture(scope="module")
def whole(scenes, tmp_path_factory) -> dict[str, dict[str, str]]:
    dest = tmp_path_factory.mktemp("whole")
    assert call("run", *scenes, "--to", dest, "--factor", 10, "-q").code == 0
    return products(dest)


class Place:
    """Where a recipe's list and products are, in place of those that the pages name."""

    def __init__(self, folder: Path, scenes: list[Path], dest: str) -> None:
        self.folder, self.dest = folder, dest
        (folder / "scenes.txt").write_text("".join(f"{scene}\n" for scene in scenes))
        self.environ = dict(os.environ, PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}")

    def here(self, text: str) -> str:
        """A page's text with the places of this test."""
        listed = str(self.folder / "scenes.txt")
        for bucket in ("s3://bucket", "/shared"):
            text = text.replace(f"{bucket}/scenes.txt", listed).replace(f"{bucket}/products", self.dest)
        return text

    def write(self, page: str) -> None:
        """Write a page's files."""
        for name, text in files(page).items():
            (self.folder / name).write_text(self.here(text))

    def shell(self, *words: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        environ = self.environ | variables
        done = subprocess.run(
            words, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=280, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.fixture
def local(tmp_path, scenes) -> Place:
    return Place(tmp_path, scenes, str(tmp_path / "products"))


@pytest.fixture
def store(tmp_path, scenes, s3_env) -> Place:  # noqa: F811
    return Place(tmp_path, scenes, f"s3://{BUCKET}/{tmp_path.name}")


def fetched(place: Place) -> dict[str, dict[str, str]]:
    if not place.dest.startswith("s3://"):
        return products(Path(place.dest))
    import fsspec

    target = place.folder / "fetched"
    shutil.rmtree(target, ignore_errors=True)
    for path in fsspec.filesystem("s3").ls(place.dest):
        if path.endswith("_downsampled"):
            fsspec.filesystem("s3").get(f"{path}/", str(target / Path(path).name), recursive=True)
    return products(target)


def check(place: Place, whole: dict[str, dict[str, str]], parts: int = 10) -> None:
    """All parts together made what a whole run makes, and are told as one run."""
    assert fetched(place) == whole
    found = status(place.dest)
    assert (found.done + found.skipped, found.failed, found.total, found.missing) == (SCENES, 0, SCENES, ())
    assert found.id.startswith(f"parts-of-{parts}-") and found.exit_code == 0


@contextlib.contextmanager
def damage(scene: Path) -> Iterator[None]:
    """Half of a band is gone for a while."""
    band = next(scene.glob("*_SR_B4.TIF"))
    data = band.read_bytes()
    band.write_bytes(data[: len(data) // 2])
    try:
        yield
    finally:
        band.write_bytes(data)


# Pages -----------------------------------------------------------------------------------------


def test_every_page_is_in_the_table_and_says_what_was_seen():
    index = (PAGES / "README.md").read_text()
    for page in ENGINES:
        text = (PAGES / f"{page}.md").read_text()
        assert f"({page}.md)" in index
        for word in ("**At a failure.**", "**Retry.**", "**Seen to run.**"):
            assert word in text, (page, word)


def test_links_lead_somewhere():
    for page in PAGES.glob("*.md"):
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            assert (PAGES / link).exists(), (page.name, link)


@pytest.mark.parametrize("page", ENGINES)
def test_every_option_that_a_page_gives_is_one(page):
    """The help of `run` knows each word, and scripts are what their shell and Python take."""
    text = (PAGES / f"{page}.md").read_text()
    known = call("run", "--help").out
    for line in re.findall(r"landsat-downsample run [^\n`]*", text):
        for option in re.findall(r"(?<!\S)--[a-z-]+", line):
            assert option in known, (page, option)
    for name, body in files(page).items():
        if name.endswith(".py"):
            compile(body, name, "exec")
        elif name.endswith(".sh"):
            subprocess.run(["sh", "-n"], input=body, text=True, check=True)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "10"}, "1/10"),
        ({"SLURM_ARRAY_TASK_ID": "3"}, "3/10"),
        ({"COILED_BATCH_TASK_ID": "9"}, "10/10"),
        ({"JOB_COMPLETION_INDEX": "4"}, "5/10"),
        ({"BATCH_TASK_INDEX": "0", "BATCH_TASK_COUNT": "10"}, "1/10"),
    ],
)
def test_the_sums_of_the_table(environ, expected):
    (name, *_) = environ
    row = next(line for line in (PAGES / "README.md").read_text().splitlines() if f"`{name}`" in line)
    form = next(word for word in re.findall(r"`([^`]+)`", row.split("|")[4]) if "/" in word)
    done = subprocess.run(["sh", "-c", f'printf %s "{form}"'], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == expected


# Arrays whose engine is not here: their command, with the engine's variables -----------------------


def run_tasks(place: Place, commands: list[tuple[list[str], dict[str, str]]], *, check: bool = True) -> None:
    """Run tasks two at a time, as an engine with two machines does."""
    waiting, running = list(commands), []
    while waiting or running:
        while waiting and len(running) < 2:
            words, variables = waiting.pop(0)
            pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
            running.append(subprocess.Popen(words, cwd=place.folder, env=place.environ | variables, **pipes))
        process = running.pop(0)
        _, err = process.communicate(timeout=280)
        assert not check or process.returncode == 0, err.decode()


def batch_tasks(place: Place, scenes: str | None = None) -> list[tuple[list[str], dict[str, str]]]:
    job = json.loads((place.folder / "job-definition.json").read_text())
    size = json.loads((place.folder / "array-job.json").read_text())["arrayProperties"]["size"]
    values = {f"Ref::{name}": scenes or value for name, value in job["parameters"].items()}
    words = [values.get(word, word) for word in job["containerProperties"]["command"]]
    names = "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"
    return [(words, dict(zip(names, (str(index), str(size)), strict=True))) for index in range(size)]


def filled(word: str, values: dict[str, str]) -> str:
    """A word with Argo's parameters in their places."""
    return re.sub(r"\{\{(.+?)\}\}", lambda match: values[match[1]], word)


def argo_tasks(place: Place, scenes: str | None = None) -> list[tuple[list[str], dict[str, str]]]:
    spec = yaml.safe_load((place.folder / "parts.yaml").read_text())["spec"]
    templates = {template["name"]: template for template in spec["templates"]}
    [[step]] = templates[spec["entrypoint"]]["steps"]
    container = templates[step["template"]]["container"]
    [asked], [part] = spec["arguments"]["parameters"], step["arguments"]["parameters"]
    values = {f"workflow.parameters.{asked['name']}": scenes or asked["value"]}
    found = []
    for item in range(int(step["withSequence"]["start"]), int(step["withSequence"]["end"]) + 1):
        values[f"inputs.parameters.{part['name']}"] = filled(part["value"], {"item": str(item)})
        found.append(([*container["command"], *(filled(word, values) for word in container["args"])], {}))
    return found


def coiled_tasks(place: Place, scenes: str | None = None) -> list[tuple[list[str], dict[str, str]]]:
    text = (place.folder / "parts.sh").read_text()
    count = int(re.search(r"^# COILED ntasks (\d+)$", text, re.M)[1])
    more = {"SCENES": scenes} if scenes else {}
    return [(["sh", "parts.sh"], {"COILED_BATCH_TASK_ID": str(index)} | more) for index in range(count)]


ARRAYS = {"aws-batch": batch_tasks, "argo": argo_tasks, "coiled": coiled_tasks}


@pytest.mark.slow
@pytest.mark.parametrize("page", ARRAYS)
def test_an_array_by_its_variables(page, store, scenes, whole):
    store.write(page)
    with damage(scenes[2]):
        run_tasks(store, ARRAYS[page](store), check=False)
    found = status(store.dest)
    assert (found.done, found.failed, found.exit_code) == (SCENES - 1, 1, 3)
    text = (PAGES / f"{page}.md").read_text()
    again = re.search(r"(?i)scenes=(--retry-failed=[^\s`]+)", text)[1]
    run_tasks(store, ARRAYS[page](store, store.here(again)))
    check(store, whole)


def test_jobs_are_what_the_batch_api_takes():
    from botocore import loaders
    from botocore.model import ServiceModel
    from botocore.validate import ParamValidator

    model = ServiceModel(loaders.Loader().load_service_model("batch", "service-2"))
    given = {"RegisterJobDefinition": "job-definition.json", "SubmitJob": "array-job.json"}
    for operation, name in given.items():
        shape = model.operation_model(operation).input_shape
        report = ParamValidator().validate(json.loads(files("aws-batch")[name]), shape)
        assert not report.has_errors(), report.generate_report()


@pytest.mark.slow
@pytest.mark.slow
def test_the_workflow_is_one_to_argo():
    """By the types that hera makes of Argo's own schema."""
    from hera.workflows import models

    found = models.Workflow.model_validate(yaml.safe_load(files("argo")["parts.yaml"]))
    known = found.model_dump(mode="json", exclude_none=True, by_alias=True)["spec"]["templates"]
    assert known[0]["steps"][0][0]["withSequence"] == {"start": "1", "end": "10"}
    assert known[1]["retryStrategy"].keys() == {"limit", "retryPolicy", "expression"}


# SLURM -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_slurm_array(slurm, local, scenes, whole):  # noqa: F811
    local.environ |= slurm
    local.write("slurm")
    first, again, _ = commands("slurm")
    with damage(scenes[2]):
        done = local.shell("sh", "-c", local.here(first), check=False)
    assert done.returncode == 3, done.stdout + done.stderr  # of status, which comes last
    assert "10 parts, 4 ended" in done.stdout and "3 of 4 scenes done, 1 failed" in done.stdout
    local.shell("sh", "-e", "-c", local.here(again))
    check(local, whole)
    assert not list(local.folder.glob("*.core"))


@pytest.mark.slow
def test_a_slurm_array_whose_task_is_killed(slurm, local, scenes, whole):  # noqa: F811
    """By scancel, as at the end of its time; the part is submitted again by its number."""
    local.environ |= slurm
    local.write("slurm")
    listed = f"@{local.folder / 'scenes.txt'}"
    job = local.shell("sbatch", "--parsable", "--array=1-10", "--begin=now+1hour", "array.sh", listed).stdout.strip()
    local.shell("scancel", f"{job}_[2-3]")
    local.shell("scontrol", "update", f"JobId={job}", "StartTime=now")
    wait_until(lambda: not local.shell("squeue", "--noheader", f"--jobs={job}", check=False).stdout.strip())
    found = status(local.dest)
    assert (found.missing, found.done, found.exit_code) == ((2, 3), 2, 3)
    local.shell("sbatch", "--wait", "--array=2,3", "array.sh", listed)
    check(local, whole)


@pytest.mark.slow
def test_dask_jobqueue_on_slurm(slurm, local, whole):  # noqa: F811
    local.environ |= slurm
    local.write("slurm")
    local.shell(sys.executable, "jobqueue.py")
    assert fetched(local) == whole
    found = status(local.dest)
    assert (found.done, found.failed) == (SCENES, 0) and found.workers_most >= 1


# Dask clusters of one's own ---------------------------------------------------------------------


@pytest.mark.slow
def test_a_gateway(gateway, local, whole):  # noqa: F811
    local.environ |= gateway
    local.write("dask-gateway")
    done = local.shell(sys.executable, "gateway.py")
    assert done.stdout.count("done ") == SCENES and fetched(local) == whole


_STAND_IN = """\
from distributed import LocalCluster


class Cluster(LocalCluster):
    def __init__(self, n_workers, region, container):
        super().__init__(n_workers=2, threads_per_worker=1, dashboard_address=None)
"""


@pytest.mark.slow
def test_a_coiled_clusters_script_on_worker_processes(local, whole):
    local.write("coiled")
    (local.folder / "coiled.py").write_text(_STAND_IN)
    done = local.shell(sys.executable, "cluster.py")
    assert done.stdout.count("done ") == SCENES and fetched(local) == whole


# Airflow ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_airflows_mapped_tasks(local, scenes, whole):
    """By an Airflow of an environment of its own, whose command the variable AIRFLOW names."""
    airflow = os.environ.get("AIRFLOW")
    if not airflow:
        pytest.skip("AIRFLOW does not name the command of an Airflow")
    local.environ |= {"AIRFLOW_HOME": str(local.folder / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    local.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(local.folder)
    local.write("airflow")
    dag = local.folder / "landsat_downsample_dag.py"
    dag.write_text(dag.read_text().replace("retries=2, ", ""))  # `dags test` does not come back to a task that failed
    local.shell(airflow, "db", "migrate")
    with damage(scenes[2]):
        local.shell(airflow, "dags", "test", "landsat_downsample", check=False)
    assert status(local.dest).failed == 1
    again = re.search(r"--conf '(.+)'$", (PAGES / "airflow.md").read_text(), re.M)[1]
    local.shell(airflow, "dags", "test", "landsat_downsample", "--conf", local.here(again))
    check(local, whole)
