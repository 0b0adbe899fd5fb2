"""What used to end as an empty success or a broken file: each must fail, and say why in one line."""

from __future__ import annotations

import re

import cwl_cases
import pytest
import s3
from aiohttp import web as web_answers
from conftest_s3 import apply
from cwl_cases import folder
from fault_proxy import FaultProxy


def one_line(done: cwl_cases.Done, log: str) -> str:
    (line,) = done.text(log).splitlines()
    assert re.match(r"(\S+Z ERROR )?landsat-downsample: ", line)
    return line


HREFS = {
    "missing": ("/absent.TIF", "permanentFail", "there is no such object"),
    "page": ("/page.TIF", "permanentFail", "not a TIFF"),
    "truncated": ("/truncated.TIF", "permanentFail", "cut or damaged"),
}


_slow = pytest.mark.slow


@pytest.mark.parametrize("case", ["missing", "page", pytest.param("truncated", marks=_slow)])
def test_a_source_that_is_not_right(case, web, tmp_path):
    place, status, words = HREFS[case]
    done = cwl_cases.run("stage_in", {"href": web.endpoint + place}, tmp_path)
    assert done.status == status and done.outputs["scene_dir"] is None
    assert words in one_line(done, "stage_in_log")


#: Bytes that are wrong each time are wrong where they lie; a source that fails for a while is worth another try.
FAULTS = {"cut": "permanentFail", "error": "temporaryFail"}


@pytest.mark.parametrize("fault", [pytest.param("cut", marks=_slow), "error"])
def test_a_source_that_fails_every_time(fault, web, scene, tmp_path, monkeypatch):
    if fault == "error":
        monkeypatch.setenv("LANDSAT_DOWNSAMPLE_BUDGET", "2")
    web.faults.extend([fault] * 400)
    try:
        done = cwl_cases.run("stage_in", {"href": f"{web.endpoint}/scene/{scene.name}_SR_B4.TIF"}, tmp_path)
    finally:
        web.faults.clear()
    assert done.status == FAULTS[fault] and done.outputs["scene_dir"] is None
    assert "gave up after" in one_line(done, "stage_in_log")


@pytest.mark.parametrize("name", ["stage_in", "workflow", "scatter"])
def test_seconds_of_retries_are_an_input(name, web, scene, tmp_path):
    """The environment, which a runner keeps from steps, says otherwise here."""
    href = f"{web.endpoint}/scene/{scene.name}_SR_B4.TIF"
    job = {"href": [href] if name == "scatter" else href, "budget": 1.5}
    job |= {} if name == "stage_in" else {"to": "published", "factor": 10}
    web.faults.extend(["error"] * 400)
    try:
        done = cwl_cases.run(name, job, tmp_path)
    finally:
        web.faults.clear()
    if name == "scatter":
        assert done.outputs["exit_codes"] == [[75]]
        done.outputs["stage_in_log"] = done.outputs["stage_in_log"][0]
    assert done.status == ("permanentFail" if name == "scatter" else "temporaryFail")
    assert "(budget 1.5 s)" in one_line(done, "stage_in_log")


def test_seconds_of_retries_are_an_input_of_the_last_step_too(proxied, product, tmp_path):
    proxied.plan(*["error"] * 400)
    job = {"folder": folder(product), "to": f"s3://{s3.BUCKET}/{tmp_path.name}", "budget": 1.5}
    done = cwl_cases.run("stage_out", job, tmp_path, ambient=True)
    assert done.status == "temporaryFail" and "(budget 1.5 s)" in one_line(done, "stage_out_log")


@pytest.mark.parametrize("href", ["ftpp://host/scene.tar", pytest.param("s4://bucket/scene", marks=_slow)])
def test_a_source_with_a_wrong_scheme(href, tmp_path):
    done = cwl_cases.run("stage_in", {"href": href}, tmp_path)
    assert done.status == "permanentFail"
    assert "is not known: give a path" in one_line(done, "stage_in_log")


def test_a_scene_that_cannot_be_reduced(scene, tmp_path):
    done = cwl_cases.run("downsample", {"source": folder(scene), "factor": 10, "size": "10,10"}, tmp_path / "out")
    assert done.status == "permanentFail" and "not allowed with" in done.text("downsample_log")
    done = cwl_cases.run("downsample", {"source": folder(scene), "factor": 10, "bands": "B99"}, tmp_path / "out")
    assert done.status == "permanentFail" and "B99" in one_line(done, "downsample_log")


def test_a_folder_with_other_content_is_left_alone(product, tmp_path):
    taken = tmp_path / "there" / product.name
    taken.mkdir(parents=True)
    (taken / "notes.txt").write_text("mine")
    done = cwl_cases.run("stage_out", {"folder": folder(product), "to": str(taken.parent)}, tmp_path / "out")
    assert done.status == "permanentFail" and product.name in one_line(done, "stage_out_log")
    assert [path.name for path in taken.iterdir()] == ["notes.txt"]
    assert done.text("item_href") == ""


@pytest.mark.slow
def test_a_prefix_with_another_product_is_left_alone(s3_env, product, tmp_path):
    key = f"{tmp_path.name}/{product.name}/{product.name}.stac.json"
    s3_env.client().put_object(Bucket=s3.BUCKET, Key=key, Body=b"{}")
    job = {"folder": folder(product), "to": f"s3://{s3.BUCKET}/{tmp_path.name}"}
    done = cwl_cases.run("stage_out", job, tmp_path, ambient=True)
    assert done.status == "permanentFail" and "another product" in one_line(done, "stage_out_log")
    assert s3_env.client().get_object(Bucket=s3.BUCKET, Key=key)["Body"].read() == b"{}"


KEYS = {"blank": ("", ""), "unknown": ("nobody", "guess"), "wrong secret": (s3.RW[0], "guess"), "read only": s3.RO}


@pytest.mark.parametrize("case", ["blank", *(pytest.param(case, marks=_slow) for case in list(KEYS)[1:])])
def test_credentials_that_do_not_open_the_store(case, seaweed, product, tmp_path):
    job = {"folder": folder(product), "to": f"s3://{s3.BUCKET}/{tmp_path.name}"}
    job["aws_credentials"] = cwl_cases.credentials(seaweed, KEYS[case])
    done = cwl_cases.run("stage_out", job, tmp_path)
    assert done.status == "permanentFail" and done.text("item_href") == ""
    line = one_line(done, "stage_out_log")
    assert "credentials" in line and (KEYS[case][1] or "\0") not in line


@pytest.mark.slow
def test_no_credentials_at_all(seaweed, product, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweed.endpoint)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    done = cwl_cases.run("stage_out", {"folder": folder(product), "to": f"s3://{s3.BUCKET}/x"}, tmp_path, ambient=True)
    assert done.status == "permanentFail" and "credentials" in one_line(done, "stage_out_log")


@pytest.mark.parametrize("to", ["https://host/x", pytest.param("ftpp://host/x", marks=_slow)])
def test_a_destination_with_a_wrong_scheme(to, s3_env, product, tmp_path):
    done = cwl_cases.run("stage_out", {"folder": folder(product), "to": to}, tmp_path, ambient=True)
    assert done.status == "permanentFail" and to.partition("/")[0] in one_line(done, "stage_out_log")


class NoBucket(FaultProxy):
    """A store without the bucket asked for; SeaweedFS itself would make it."""

    async def _before(self, request, fault):
        body = "<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>"
        return web_answers.Response(status=404, text=body, content_type="application/xml")


@pytest.mark.slow
def test_a_bucket_that_is_not_there(seaweed, product, tmp_path, monkeypatch):
    with NoBucket(seaweed.endpoint) as proxy:
        apply(monkeypatch, s3.environ(proxy.endpoint))
        job = {"folder": folder(product), "to": "s3://no-such-bucket/x"}
        done = cwl_cases.run("stage_out", job, tmp_path, ambient=True)
    assert done.status == "permanentFail" and "NoSuchBucket" in one_line(done, "stage_out_log")


def test_a_workflow_ends_at_the_step_that_fails_and_keeps_its_log(web, tmp_path):
    job = {"href": f"{web.endpoint}/absent.tar", "to": "published", "factor": 10}
    done = cwl_cases.run("workflow", job, tmp_path)
    assert done.status == "permanentFail"
    assert "there is no such object" in one_line(done, "stage_in_log")
    assert {name for name, value in done.outputs.items() if value} == {"stage_in_log"}
