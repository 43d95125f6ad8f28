"""What enrichments would read with the next run, and what that costs.

Belongs here: texts, tokens and money by enrichment, before any model is asked.
Does not belong here: the plan of a run (`plan.py`), reading (`enrichments.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from rag_pipeline.contracts.enrichments import Enrichment
from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS
from rag_pipeline.enrichment.prompt import messages_of
from rag_pipeline.enrichment.recipes import enrichments_of
from rag_pipeline.refresh.enrichments import due_texts
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.contexts import AROUND_CHARS, OPENING_CHARS

# English has about four characters a token; the server's own count is what is paid.
CHARS_PER_TOKEN = 4
# Labels are a few, a dozen fields some more.
ANSWER_TOKENS = 60


@dataclass(frozen=True, slots=True)
class EnrichmentPlan:
    """What a run has an enrichment read.

    Attributes:
        texts: That it has not read.
        tokens: Of a chat model, read and written, about.
        price: In the currency of the model's prices; 0 without a chat model, None: not known.
        problem: Why it cannot read now; empty: it can.
    """

    name: str
    kind: str
    texts: int
    tokens: int
    price: float | None
    problem: str


def enrichment_plans(workspace: Workspace) -> list[EnrichmentPlan]:
    """What each enrichment would read of the documents as they stand in silver."""
    configured = enrichments_of(workspace.pipeline)
    due = due_texts(workspace, configured.all)
    return [_plan(workspace, each, due[each.name], configured.problems.get(each.name, "")) for each in configured.all]


def _chars(workspace: Workspace, enrichment: Enrichment, due: pl.DataFrame) -> int:
    """Characters of documents that a model reads."""
    texts = workspace.lake.read(DOCUMENTS, ["document_id", "text_chars"])
    if not enrichment.reads_chunks:
        read = texts.join(due, on="document_id", how="semi")
        return int(read["text_chars"].clip(upper_bound=enrichment.most_chars).sum())
    mine = pl.col("document_id").is_in(due["document_id"].unique().implode())
    chunks = workspace.lake.read(CHUNKS, ["start_char", "end_char"], where=mine)
    part = int((chunks["end_char"] - chunks["start_char"]).sum()) // max(1, chunks.height)
    if not enrichment.reads_windows:
        return part * due.height
    # A chunk is shown alone, and once more within what stands around it.
    shown = texts.join(due, on="document_id")["text_chars"].clip(upper_bound=OPENING_CHARS + 2 * AROUND_CHARS + part)
    return int(shown.sum()) + part * due.height


def _answer_tokens(workspace: Workspace, enrichment: Enrichment, due: pl.DataFrame) -> int:
    """What a model writes; a translation is about as long as what it reads, all else is bounded."""
    if enrichment.kind == "translate":
        return _chars(workspace, enrichment, due) // CHARS_PER_TOKEN
    return max(ANSWER_TOKENS, enrichment.most_answer_chars // CHARS_PER_TOKEN) * due.height


def _plan(workspace: Workspace, enrichment: Enrichment, due: pl.DataFrame, problem: str) -> EnrichmentPlan:
    if not enrichment.uses_chat or problem or due.is_empty():
        price = None if enrichment.uses_chat and problem and due.height else 0.0
        return EnrichmentPlan(enrichment.name, enrichment.kind, due.height, 0, price, problem)
    around = sum(len(message.content) for message in messages_of(enrichment, None, ""))
    chars = _chars(workspace, enrichment, due) + around * due.height
    tokens_in, tokens_out = chars // CHARS_PER_TOKEN, _answer_tokens(workspace, enrichment, due)
    price = workspace.settings.chat_models[enrichment.model].spec(enrichment.model).cost(tokens_in, tokens_out)
    return EnrichmentPlan(enrichment.name, enrichment.kind, due.height, tokens_in + tokens_out, price, problem)
