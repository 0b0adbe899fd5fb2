"""The rights of a client of Dask clusters: one list in the role, in the doctor and in docs/kubernetes.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from landsat_downsample.cli.doctor.kubernetes import FROM_OUTSIDE, NEEDED

ROOT = Path(__file__).parents[2]


def of_role(name: str) -> dict[tuple[str, str], list[str]]:
    """Verbs of a role, by API group and resource."""
    roles = yaml.safe_load_all((ROOT / "k8s/common/roles.yaml").read_text())
    [role] = [one for one in roles if one["kind"] == "Role" and one["metadata"]["name"] == name]
    rules = [(*rule["apiGroups"], *rule["resources"], rule["verbs"]) for rule in role["rules"]]
    assert all(len(rule) == 3 for rule in rules), "one group and one resource in each rule"
    return {(group, resource): sorted(verbs) for group, resource, verbs in rules}


def of_page(*, outside: bool) -> dict[tuple[str, str], list[str]]:
    """The same of the page's table."""
    _, _, table = (
        (ROOT / "docs" / "kubernetes.md").read_text().partition("| API group | resources | verbs |\n|---|---|---|\n")
    )
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in table.partition("\n\n")[0].splitlines()]
    return {
        (group.removeprefix("(core)").removesuffix(", from outside of the cluster"), resource): sorted(
            verbs.split(", ")
        )
        for group, resource, verbs in rows
        if group.endswith("outside of the cluster") == outside
    }


@pytest.mark.parametrize(
    ("role", "asked", "outside"), [("dask-client", NEEDED, False), ("dask-client-outside", FROM_OUTSIDE, True)]
)
def test_role_doctor_and_page_agree(role, asked, outside):
    there = of_role(role)
    assert there == {right: sorted(verbs) for right, verbs in asked.items()}
    assert there == of_page(outside=outside)
    assert len(there) == (1 if outside else 8)
