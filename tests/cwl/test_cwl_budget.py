"""What a step asks of its runner, and what it does with what it gets."""

from __future__ import annotations

from pathlib import Path

import cwl_cases
import pytest
from command import digests
from cwl_cases import folder

_LISTENING = """\
#!/bin/sh
echo "$*" >> {said}
exec {command} "$@"
"""


@pytest.fixture
def said(tmp_path, monkeypatch) -> Path:
    """The command lines of the steps."""
    path, said = tmp_path / "bin" / "landsat-downsample", tmp_path / "said"
    path.parent.mkdir()
    path.write_text(_LISTENING.format(said=said, command=cwl_cases.BIN / path.name))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{cwl_cases.PATH}")
    return said


def options(said: Path) -> dict[str, str]:
    """The options of the one run."""
    (line,) = (line for line in said.read_text().splitlines() if line.startswith("run "))
    return dict(word.partition("=")[::2] for word in line.split() if "=" in word)


def test_a_step_uses_what_it_asked_for(scene, product, said, tmp_path):
    done = cwl_cases.run(
        "downsample", {"source": folder(scene), "factor": 10, "workers": 3, "ram": 700}, tmp_path / "a"
    )
    assert done.status == "success", done.text("downsample_log")
    assert (options(said)["--workers"], options(said)["--memory"]) == ("3", "700")
    assert {name: made for name, made in digests(done.path("dataset_dir")).items() if name.endswith(".TIF")} == {
        name: made for name, made in digests(product).items() if name.endswith(".TIF")
    }


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["--debug", "--parallel"])
def test_the_budget_reaches_the_step_of_a_workflow(runner, scene, said, tmp_path):
    """With two cores on a machine that has just these, cwltool says 2.0 in parallel mode."""
    job = {"href": folder(scene), "to": "published", "factor": 10, "workers": 2, "ram": 512}
    done = cwl_cases.command(cwl_cases.CWL / "workflow.cwl", job, tmp_path / "out", "--no-container", runner)
    assert done.status == "success", done.log
    assert float(options(said)["--workers"]) == 2 and float(options(said)["--memory"]) == 512


@pytest.mark.slow
@pytest.mark.parametrize("name", ["workflow", "scatter"])
def test_by_default_a_step_takes_one_core(name, scene, said, tmp_path):
    href = folder(scene) if name == "workflow" else [folder(scene)]
    done = cwl_cases.run(name, {"href": href, "to": "published", "factor": 10}, tmp_path / "out")
    assert done.status == "success", done
    assert (options(said)["--workers"], options(said)["--memory"]) == ("1", "1024")


@pytest.mark.slow
def test_a_runner_that_has_less_refuses(scene, tmp_path):
    """In parallel mode cwltool counts; natively, one after the other, it does not."""
    job = {"source": folder(scene), "factor": 10, "workers": 4096}
    done = cwl_cases.command(cwl_cases.CWL / "downsample.cwl", job, tmp_path / "out", "--no-container", "--parallel")
    assert done.status == "permanentFail" and "4096" in done.log
