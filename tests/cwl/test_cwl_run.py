from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import cwl_cases
import pytest
import s3
from command import digests
from cwl_cases import folder
from staging_cases import check_catalogue, to_s3

import landsat_downsample as ld


def bands(product: Path) -> dict[str, str]:
    return {name: digest for name, digest in digests(product).items() if name.endswith(".TIF")}


_slow = pytest.mark.slow


@pytest.mark.parametrize("kind", ["url", pytest.param("folder", marks=_slow), pytest.param("file", marks=_slow)])
def test_stage_in_brings_a_scene(kind, scene, web, tmp_path):
    band = scene / f"{scene.name}_SR_B4.TIF"
    href = {"url": f"{web.endpoint}/scene/{scene.name}_MTL.json", "folder": folder(scene), "file": cwl_cases.file(band)}
    done = cwl_cases.run("stage_in", {"href": href[kind]}, tmp_path)
    assert done.status == "success" and done.text("stage_in_log") == ""
    staged = done.path("scene_dir")
    assert staged.name == (band.stem if kind == "file" else scene.name)
    check_catalogue(str(staged / "catalog.json"))
    name = band.name
    assert (staged / name).read_bytes() == band.read_bytes()


def test_downsample_makes_what_the_library_makes(scene, product, tmp_path):
    done = cwl_cases.run("downsample", {"source": folder(scene), "factor": 10}, tmp_path)
    assert done.status == "success"
    assert done.path("dataset_dir").name == product.name
    assert bands(done.path("dataset_dir")) == bands(product)
    (record,) = map(json.loads, done.text("downsample_out").splitlines())
    assert record["id"] == scene.name and record["status"] == "done"
    assert (tmp_path / record["href"]).is_file() and not Path(record["href"]).is_absolute()


def test_downsample_passes_every_option_on(scene, tmp_path):
    left, bottom, right, top = ld.open_scene(scene).grid.bounds
    area = (left + 300, bottom + 600, right - 900, top - 300)
    job = {"resolution": 150, "bands": "SR_B4,SR_B5,QA_PIXEL", "qa": "majority", "mask": "cloud,shadow"}
    job |= {
        "min_valid": 0.25,
        "method": ["SR_B4=max"],
        "bounds": ",".join(f"{edge:.0f}" for edge in area),
        "workers": 1,
    }
    job |= {"grid": "zone", "anchor": "-45,75", "stats": "count,mean"}
    done = cwl_cases.run("downsample", job | {"source": folder(scene), "cluster": "none"}, tmp_path / "out")
    assert done.status == "success", done
    options = {
        "resolution": 150,
        "bands": ["SR_B4", "SR_B5", "QA_PIXEL"],
        "qa": "majority",
        "mask": ["cloud", "shadow"],
    }
    options |= {
        "min_valid": 0.25,
        "methods": {"SR_B4": "max"},
        "bounds": area,
        "anchor": (-45, 75),
        "stats": ["mean", "count"],
    }
    ld.run(ld.plan(scene, tmp_path / "oracle", **options))
    assert bands(done.path("dataset_dir")) == bands(tmp_path / "oracle" / f"{scene.name}_downsampled")


@pytest.mark.slow
def test_downsample_takes_bounds_that_begin_with_a_minus(scene, tmp_path):
    done = cwl_cases.run("downsample", {"source": folder(scene), "factor": 10, "bounds": "-9,-9,-8,-8"}, tmp_path)
    assert done.status == "permanentFail" and "expected one argument" not in done.text("downsample_log")


@pytest.mark.slow
def test_simulated_load_and_time_limit(scene, tmp_path):
    job = {"source": folder(scene), "factor": 10}
    done = cwl_cases.run("downsample", job | {"min_spin_time": 0.1, "max_spin_time": 0.2}, tmp_path / "spun")
    assert done.status == "success"
    done = cwl_cases.run(
        "downsample", job | {"min_spin_time": 30, "max_spin_time": 30, "timeout": 1}, tmp_path / "late"
    )
    assert done.status == "temporaryFail" and len(done.text("downsample_log").splitlines()) == 1
    done = cwl_cases.run("downsample", job | {"min_spin_time": 1, "max_spin_time": 4000}, tmp_path / "long")
    assert done.status == "permanentFail" and "3600" in done.text("downsample_log")


@pytest.mark.slow
def test_downsample_on_the_workers_of_a_scheduler(scene, product, tmp_path):
    """By the scheduler's address, on workers that are processes of their own."""
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        before = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)
        job = {"source": folder(scene), "factor": 10, "cluster": cluster.scheduler_address, "network_access": True}
        done = cwl_cases.run("downsample", job, tmp_path)
        after = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)
        alive = [process.is_alive() for process in (worker.process for worker in cluster.workers.values())]
    assert done.status == "success", done.text("downsample_log")
    assert bands(done.path("dataset_dir")) == bands(product)
    assert after - before > len(bands(product)), "the work was done elsewhere"
    assert alive == [True, True], "the step ended a cluster that is not its own"


@pytest.mark.slow
def test_stage_out_publishes_on_s3_with_the_ambient_identity(s3_env, product, tmp_path):
    to = f"s3://{s3.BUCKET}/{tmp_path.name}"
    done = cwl_cases.run("stage_out", {"folder": folder(product), "to": to}, tmp_path, ambient=True)
    assert done.status == "success", done.text("stage_out_log")
    assert done.text("item_href") == f"{to}/{product.name}/{product.name}.stac.json\n"
    assert done.outputs["published"] is None
    listed = s3_env.client().list_objects_v2(Bucket=s3.BUCKET, Prefix=f"{tmp_path.name}/")["Contents"]
    assert {Path(entry["Key"]).name for entry in listed} >= set(digests(product))


def test_stage_out_publishes_with_the_secret_input(seaweed, product, tmp_path):
    """The secret is all that botocore has: keys, region and endpoint."""
    job = {"folder": folder(product), "to": f"s3://{s3.BUCKET}/{tmp_path.name}"}
    done = cwl_cases.run("stage_out", job | {"aws_credentials": cwl_cases.credentials(seaweed)}, tmp_path)
    assert done.status == "success", done.text("stage_out_log")


def test_stage_out_gives_a_relative_folder_back_and_takes_an_absolute_one(product, tmp_path):
    for to in ("results", "of/this/month"):  # the folder comes back by the last of its names
        done = cwl_cases.run("stage_out", {"folder": folder(product), "to": to}, tmp_path / "a")
        assert digests(done.path("published") / product.name) == digests(product)
        item = done.text("item_href").strip()
        assert item == f"{Path(to).name}/{product.name}/{product.name}.stac.json" and (tmp_path / "a" / item).is_file()
    done = cwl_cases.run("stage_out", {"folder": folder(product), "to": str(tmp_path / "b")}, tmp_path / "c")
    assert done.outputs["published"] is None and digests(tmp_path / "b" / product.name) == digests(product)
    assert Path(done.text("item_href").strip()).parent == tmp_path / "b" / product.name


def test_workflow_from_http_to_s3(s3_env, web, scene, product, tmp_path):
    to = f"s3://{s3.BUCKET}/{tmp_path.name}"
    job = {"href": f"{web.endpoint}/scene/{scene.name}_MTL.json", "to": to, "factor": 10}
    done = cwl_cases.run("workflow", job, tmp_path, ambient=True)
    assert done.status == "success", done
    assert bands(done.path("dataset_dir")) == bands(product)
    assert done.text("item_href") == f"{to}/{product.name}/{product.name}.stac.json\n"


def test_a_single_file_becomes_what_run_makes_of_it(scene, tmp_path):
    """A band of a scene as well as a file of Collection 1, whose scenes are not read."""
    band = scene / f"{scene.name}_SR_B4.TIF"
    other = shutil.copyfile(band, tmp_path / "LC08_L1TP_192028_20160714_20170323_01_T1_B4.TIF")
    for path in (band, other):
        out = tmp_path / path.stem
        done = cwl_cases.run("workflow", {"href": cwl_cases.file(path), "to": "published", "factor": 10}, out)
        assert done.status == "success", done
        item = out / done.text("item_href").strip()
        assert item.parent == done.path("published") / f"{path.stem}_downsampled"
        ld.run(ld.plan(path, tmp_path / "oracle", factor=10))
        expected = tmp_path / "oracle" / item.parent.name
        assert {path.name for path in item.parent.iterdir()} == {path.name for path in expected.iterdir()}
        assert bands(item.parent) == bands(expected)


def test_scatter_puts_files_of_one_scene_side_by_side(scene, tmp_path):
    names = [f"{scene.name}_{band}" for band in ("SR_B4", "QA_PIXEL")]
    hrefs = [cwl_cases.file(scene / f"{name}.TIF") for name in names]
    done = cwl_cases.run("scatter", {"href": hrefs, "to": "published", "factor": 10}, tmp_path)
    assert done.status == "success", done
    for name, (told,) in zip(names, done.outputs["item_href"], strict=True):
        item = tmp_path / Path(told["location"].removeprefix("file://")).read_text().strip()
        assert item.is_file() and item.parent == tmp_path / f"{name}_downsampled"
    outcomes = [json.loads((tmp_path / f"{name}.downsample.out.jsonl").read_text())["href"] for name in names]
    assert outcomes == [f"{name}_downsampled/{name}_downsampled.stac.json" for name in names]


@pytest.mark.slow
def test_templates_run_as_shipped(tmp_path):
    shutil.copytree(cwl_cases.CWL, tmp_path / "cwl")
    (tmp_path / "demo").mkdir()
    ld.make_scene(tmp_path / "demo" / "scene", size=(151, 139))
    for name in cwl_cases.FILES:
        file = cwl_cases.target(name).rpartition("/")[2]
        words = [str(cwl_cases.BIN / "cwltool"), "--no-container", "--outdir", "out", f"cwl/{file}"]
        words.append(f"cwl/{name}-inputs.yml")
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "Workflow checker warning" not in done.stderr, (name, done.stderr)
    assert any((tmp_path / "out" / "published").iterdir())


@pytest.fixture(scope="module")
def bad_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bad") / "not-a-scene.TIF"
    path.write_bytes(b"no TIFF")
    return path


def test_scatter_publishes_the_other_and_fails(scene, product, bad_file, tmp_path):
    job = {"href": [cwl_cases.file(bad_file), folder(scene)], "to": "published", "factor": 10, "bands": "SR_B4"}
    done = cwl_cases.run("scatter", job, tmp_path)
    assert done.status == "permanentFail" and done.outputs["exit_codes"] == [[1], [0, 0, 0]]
    assert [[entry["basename"] for entry in one] for one in done.outputs["published"]] == [[], [product.name]]


@pytest.mark.slow
def test_scatter_of_four_with_cwltools_defaults(web, scene, other_scene, bad_file, tmp_path):
    hrefs = [folder(scene), cwl_cases.file(bad_file), f"{web.endpoint}/absent.tar", folder(other_scene)]
    job = {"href": hrefs, "to": "published", "factor": 10}
    done = cwl_cases.command(cwl_cases.CWL / "scatter.cwl", job, tmp_path / "out")
    assert done.status == "permanentFail" and "Workflow checker warning" not in done.log
    assert done.outputs["exit_codes"] == [[0, 0, 0], [1], [1], [0, 0, 0]]
    names = [[entry["basename"] for entry in one] for one in done.outputs["published"]]
    assert names == [[f"{scene.name}_downsampled"], [], [], [f"{other_scene.name}_downsampled"]]
    logs = [Path(entry["location"].removeprefix("file://")).read_text() for entry in done.outputs["stage_in_log"]]
    assert [len(log.splitlines()) for log in logs] == [0, 1, 1, 0]
    assert bad_file.name in logs[1] and "no such object" in logs[2]


@pytest.mark.slow
def test_scatter_succeeds_when_every_scene_does(s3_env, scene, other_scene, product, tmp_path):
    to = f"s3://{s3.BUCKET}/{tmp_path.name}"
    job = {"href": [to_s3(s3_env, scene, f"{tmp_path.name}-in"), folder(other_scene)], "to": to, "factor": 10}
    job["aws_credentials"] = cwl_cases.credentials(s3_env)
    done = cwl_cases.command(cwl_cases.CWL / "scatter.cwl", job, tmp_path / "out")
    assert done.status == "success", done.log
    hrefs = [Path(one[0]["location"].removeprefix("file://")).read_text() for one in done.outputs["item_href"]]
    assert hrefs[0] == f"{to}/{product.name}/{product.name}.stac.json\n" and other_scene.name in hrefs[1]


@pytest.mark.slow
def test_scatter_passes_a_failure_of_the_last_step_on(scene, other_scene, tmp_path):
    taken = tmp_path / "there" / f"{scene.name}_downsampled"
    taken.mkdir(parents=True)
    (taken / "notes.txt").write_text("mine")
    job = {"href": [folder(scene), folder(other_scene)], "to": str(taken.parent), "factor": 10}
    done = cwl_cases.run("scatter", job, tmp_path / "out")
    assert done.status == "permanentFail"
    assert done.outputs["exit_codes"] == [[0, 0, 1], [0, 0, 0]]
    assert (taken / "notes.txt").read_text() == "mine"


_DEADLY = """\
#!/bin/sh
case "$*" in run*LE07*) kill -9 $$ ;; esac
exec {command} "$@"
"""


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    """Steps of one scene are killed, as the kernel kills one that is out of memory."""
    command = tmp_path / "bin" / "landsat-downsample"
    command.parent.mkdir()
    command.write_text(_DEADLY.format(command=cwl_cases.BIN / command.name))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{cwl_cases.PATH}")


@pytest.mark.slow
@pytest.mark.usefixtures("deadly")
def test_scatter_survives_a_step_that_is_killed(scene, other_scene, tmp_path):
    job = {"href": [folder(other_scene), folder(scene)], "to": "published", "factor": 10}
    done = cwl_cases.run("scatter", job, tmp_path / "out")
    assert done.status == "permanentFail" and done.outputs["exit_codes"] == [[0, -9], [0, 0, 0]]
    assert [len(one) for one in done.outputs["published"]] == [0, 1]


@pytest.fixture
def prepare(tmp_path):
    """What lays out each go of a job on Kubernetes, so that it takes results of the one before from a cache."""
    shutil.copytree(cwl_cases.CWL, tmp_path / "given" / "cwl")
    shutil.copytree(cwl_cases.ROOT / "k8s" / "base", tmp_path / "given" / "prepare")
    (tmp_path / "volume" / "cwl").mkdir(parents=True)
    told = {"LANDSAT_DOWNSAMPLE_IMAGE": "a/b:9", "WORKFLOW": "scatter", "POD_NAMESPACE": "here", "JOB_UID": "1"}
    words = ["/bin/sh", tmp_path / "given" / "prepare" / "prepare.sh"]

    def run(go: str) -> None:
        env = os.environ | told | {"CALRISSIAN_POD_NAME": go, "AWS_ACCESS_KEY_ID": ""}
        subprocess.run(words, cwd=tmp_path / "volume", env=env, check=True)

    return run


@pytest.mark.slow
@pytest.mark.usefixtures("deadly")
def test_scatter_goes_on_with_what_is_in_a_cache(scene, other_scene, prepare, tmp_path, monkeypatch):
    """A step that was killed counts as a success there, and cwltool has no exit code of what it takes from a cache."""
    job = {"href": [folder(other_scene), folder(scene)], "to": str(tmp_path / "published"), "factor": 10}
    volume = tmp_path / "volume"

    def go(name: str) -> tuple[str, list[list[int]]]:
        options = ("--no-container", "--cachedir", str(volume / "tmp" / "cache"))
        done = cwl_cases.command(volume / "cwl" / "scatter.cwl", job, tmp_path / name, *options)
        return done.status, done.outputs["exit_codes"]

    prepare("first")
    assert go("first") == ("permanentFail", [[0, -9], [0, 0, 0]])
    assert go("same") == ("permanentFail", [[True, True], [True, True, 0]])
    prepare("second")
    monkeypatch.setenv("PATH", cwl_cases.PATH)
    assert go("second") == ("success", [[True, 0, 0], [True, True, 0]])
