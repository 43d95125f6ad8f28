"""The order of the steps is one: that of `refresh/everything.py`, which Dagster's asset graph equals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rag_pipeline.defs.assets import build_assets
from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline_tests.pipeline.project import Project

# Beside the way to readers, after it.
ASIDE = {"gold/maintenance"}
# Who is in which group: no document is made of it, and whoever asks looks it up.
OF_CALLERS = {"silver/memberships", "silver/principals"}


def test_the_asset_graph_has_the_order_of_a_refresh_without_dagster(tmp_path: Path) -> None:
    project = Project.create(tmp_path, ["docs", "wiki"])
    project.write("lamp.md", "# Lamp\n\nIt burns until dawn.\n")
    project.settings["sources"]["docs"]["groups"] = {"file": "groups.yaml"}
    project.settings["enrichments"] = {"topic": {"labels": {"lamps": ["lamp"]}}}
    (tmp_path / "groups.yaml").write_text("crew: [ada]\n")
    steps: list[str] = []

    @contextmanager
    def around(step: str) -> Iterator[None]:
        steps.append(step)
        yield

    with project.workspace() as workspace:
        did = refresh_everything(workspace, around=around)
    assert (did.documents.documents, did.embeddings.computed, did.publication.rows) == (1, 1, 1)

    step_of: dict[str, str] = {}
    needs: dict[str, set[str]] = {}
    for asset in build_assets(project.pipeline()):
        made = {key.to_user_string() for key in asset.keys} - ASIDE
        if made:
            [step] = made & set(steps)
            step_of |= dict.fromkeys(made, step)
            needs[step] = {dep.asset_key.to_user_string() for spec in asset.specs for dep in spec.deps} - made
    assert needs.keys() == set(steps), "each step is one asset or a group of them, and the other way round"

    # The first hangs on nothing, so that nothing keeps anybody in a group; the second waits until readers have lost
    # what was revoked; and nothing waits for either.
    assert steps[0] == "silver/memberships"
    assert not needs.pop("silver/memberships")
    assert needs.pop("silver/principals") == {"silver/memberships", "silver/revocations"}
    assert steps.index("silver/principals") == steps.index("silver/revocations") + 1
    assert not OF_CALLERS & set().union(*needs.values())
    steps = [step for step in steps if step not in OF_CALLERS]

    layers: list[set[str]] = []
    for step in steps:
        before = {step_of[name] for name in needs[step]}
        assert before <= set().union(*layers), f"{step} needs what is made after it"
        if layers and before >= layers[-1]:
            layers.append({step})
        elif step.startswith("bronze/"):
            layers = layers or [set()]
            layers[-1].add(step)
        else:
            raise AssertionError(f"Dagster may run {step} before {' and '.join(layers[-1])}: the order is not one")


def test_what_the_deletion_guard_holds_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    for number in range(30):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe lamp of berth {number} burns.\n")
    project.refresh()
    for number in range(25):
        (project.folder / "docs" / f"{number}.md").unlink()
    project.write("new.md", "# New\n\nA new lamp.\n")
    with project.workspace() as workspace:
        did = refresh_everything(workspace, evaluate=False)
    assert did.bronze["docs"].held == 25
    assert (did.evaluation, did.publication.moved, did.publication.documents) == (None, True, 31)
    assert did.commits > 0
    with project.workspace() as workspace:
        assert refresh_everything(workspace).commits == 0
