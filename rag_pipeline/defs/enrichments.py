"""The asset of what models and rules read out of documents; there is one where `enrichments` names any.

Belongs here: what it depends on, how it is shown, its checks that a run itself answers, and the one call that refreshes
it.
Does not belong here: how it is refreshed (`refresh/enrichments.py`).
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_pipeline.contracts.tables import DOCUMENTS, ENRICHMENTS
from rag_pipeline.defs.describe import column_lineage, rows_table
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.defs.specs import CHUNKS_KEY, ENRICHMENTS_KEY, RETRY, WRITER_POOL, spec
from rag_pipeline.defs.words import counted, happened
from rag_pipeline.settings import Pipeline

if TYPE_CHECKING:
    from rag_pipeline.refresh.enrichments import EnrichmentsReport

READ_CHECK = "every_text_is_read"
VALID_CHECK = "readings_are_valid"
SHARES_CHECK = "label_shares_are_usual"
AGREE_CHECK = "labels_agree"


def enrichments_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    """What enrichments read, and what documents and chunks have from it."""
    declared = spec(
        pipeline,
        ENRICHMENTS_KEY,
        ENRICHMENTS,
        deps=[CHUNKS_KEY],
        kinds={"deltalake", "python"},
        description=f"{ENRICHMENTS.doc} It becomes metadata of the documents that have the text, or a sentence in the "
        "header of their chunks.",
    )

    @dg.multi_asset(
        name="silver_enrichments", specs=[declared], check_specs=_check_specs(), pool=WRITER_POOL, retry_policy=RETRY
    )
    def enrichments(
        pipeline: PipelineResource,
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from rag_pipeline.refresh.data_versions import enrichments_version, version_or_unknown
        from rag_pipeline.refresh.enrichments import refresh_enrichments
        from rag_pipeline.refresh.publication import revocations_reach_readers

        with as_dagster_failure() as work, revocations_reach_readers(pipeline.workspace):
            report = refresh_enrichments(pipeline.workspace)
            version = version_or_unknown(lambda: enrichments_version(pipeline.workspace))
        rows = [
            {
                "enrichment": each.name,
                "kind": each.kind,
                "computed": each.computed,
                "refused": sum(each.refused_by_reason.values()),
                "waiting": each.waiting,
            }
            for each in report.enrichments
        ]
        labels = [
            {"enrichment": each.name, "label": label, "documents": count}
            for each in report.enrichments
            for label, count in each.labels.items()
        ]
        changes = {"texts read": report.computed, "documents with new metadata": report.documents_changed}
        changes["chunks with a new header"] = report.chunks_changed
        yield dg.MaterializeResult(
            asset_key=ENRICHMENTS_KEY,
            data_version=dg.DataVersion(version),
            metadata={
                **happened(changes, f"waiting: {counted(report.waiting, 'text')}"),
                "rag/by_enrichment": rows_table(rows),
                "rag/labels": rows_table(labels, ("enrichment", "label", "documents")),
                "rag/computed": report.computed,
                "rag/refused": report.refused,
                "rag/waiting": report.waiting,
                "rag/commits": report.commits,
                **work,
                **column_lineage(ENRICHMENTS, [DOCUMENTS], [CHUNKS_KEY]),
            },
        )
        yield _read_result(report)
        yield _valid_result(report)
        yield _shares_result(report)
        yield _agree_result(report)

    return enrichments


def _check_specs() -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(
            READ_CHECK,
            asset=ENRICHMENTS_KEY,
            description="No text waits to be read. Where a model does not answer, may cost no more today or had no "
            "time left, documents are indexed without what it would say, and the next run goes on.",
        ),
        dg.AssetCheckSpec(
            VALID_CHECK,
            asset=ENRICHMENTS_KEY,
            description="What models said of texts was valid. Documents of which it was not are indexed without it.",
        ),
        dg.AssetCheckSpec(
            SHARES_CHECK,
            asset=ENRICHMENTS_KEY,
            description="No label has another share, by a fifth, among the texts of a source that were read in the "
            "last day than among those before, 30 of each at least.",
        ),
        dg.AssetCheckSpec(
            AGREE_CHECK,
            asset=ENRICHMENTS_KEY,
            description="Of the documents that people labelled, as many as `least_agreement` asks for have "
            "the same label here. Another prompt, model or kind of document moves it.",
        ),
    ]


def _read_result(report: "EnrichmentsReport") -> dg.AssetCheckResult:
    waiting = [each for each in report.enrichments if each.waiting]
    said = "; ".join(f"{each.name}: {counted(each.waiting, 'text')}, {each.waiting_because}" for each in waiting)
    return dg.AssetCheckResult(
        asset_key=ENRICHMENTS_KEY,
        check_name=READ_CHECK,
        passed=not waiting,
        severity=dg.AssetCheckSeverity.WARN,
        description=said or "none waits",
        metadata={"rag/waiting": report.waiting},
    )


def _valid_result(report: "EnrichmentsReport") -> dg.AssetCheckResult:
    refused = [
        {"enrichment": each.name, "reason": reason, "texts": count}
        for each in report.enrichments
        for reason, count in each.refused_by_reason.items()
    ]
    said = "; ".join(f"{row['enrichment']}: {row['texts']} {row['reason']}" for row in refused)
    return dg.AssetCheckResult(
        asset_key=ENRICHMENTS_KEY,
        check_name=VALID_CHECK,
        passed=not refused,
        severity=dg.AssetCheckSeverity.WARN,
        description=said or "all of it was",
        metadata={
            "rag/by_reason": rows_table(refused, ("enrichment", "reason", "texts")),
            **({"rag/next_step": NEXT_STEP} if refused else {}),
        },
    )


def _shares_result(report: "EnrichmentsReport") -> dg.AssetCheckResult:
    said = "; ".join(
        f"{each.enrichment} of {each.source}: {each.label} {each.before:.0%} before, {each.now:.0%} now"
        for each in report.moved
    )
    return dg.AssetCheckResult(
        asset_key=ENRICHMENTS_KEY,
        check_name=SHARES_CHECK,
        passed=not report.moved,
        severity=dg.AssetCheckSeverity.WARN,
        description=said or "every label has the share that it had",
        metadata={"rag/moved": rows_table([asdict(each) for each in report.moved])},
    )


def _agree_result(report: "EnrichmentsReport") -> dg.AssetCheckResult:
    found = {each.name: each.agreement for each in report.enrichments if each.agreement is not None}
    said = []
    for name, each in found.items():
        absent = f", {each.absent} more not indexed or not read yet" if each.absent else ""
        of_all = f"{each.agreed} of {counted(each.compared, 'document')} as people say, want {each.least:.0%}{absent}"
        said.append(f"{name}: {each.problem or of_all}")
    others = [{"enrichment": name, **asdict(each)} for name, one in found.items() for each in one.disagreements]
    return dg.AssetCheckResult(
        asset_key=ENRICHMENTS_KEY,
        check_name=AGREE_CHECK,
        passed=all(each.is_enough for each in found.values()),
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(said) or "no file of labels is named",
        metadata={
            "rag/disagreements": rows_table(others, ("enrichment", "uri", "by_people", "read")),
            **{f"rag/agreement_{name}": each.share for name, each in found.items() if each.share is not None},
        },
    )


NEXT_STEP = (
    'rag-pipeline sql "SELECT enrichment, reason_code, detail FROM silver.enrichments WHERE reason_code IS NOT NULL"'
)
