"""Compare what enrichments read with what people said, where a file says it.

Belongs here: reading that file and the labels of documents.
Does not belong here: comparing (`transforms/agreement.py`), what the check says of it (`defs/enrichments.py`).
"""

from __future__ import annotations

import json

import polars as pl

from rag_pipeline.contracts.enrichments import Enrichment
from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.enrichment.labelled import read_labelled
from rag_pipeline.enrichment.recipes import named_files
from rag_pipeline.errors import SettingsError
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.agreement import Agreement, agreement
from rag_pipeline.transforms.enrichments import concerned_by


def agreement_with_people(
    workspace: Workspace, enrichment: Enrichment, documents: pl.DataFrame, rows: pl.DataFrame
) -> Agreement | None:
    """How the labels of an enrichment agree with people's; None: it names no file of these.

    Args:
        documents: document_id, source, media_type, language and content_hash of what is indexed.
        rows: recipe, input_hash and value of silver/enrichments.
    """
    setting = f"enrichments.{enrichment.name}.labelled"
    path = named_files(workspace.pipeline).get(setting)
    if path is None:
        return None
    least = getattr(workspace.settings.enrichments[enrichment.name], "least_agreement", 0.0)
    try:
        by_people = read_labelled(setting, path, [label for label, _ in enrichment.labels])
    except SettingsError as error:
        # A file that people edit holds up no run.
        return Agreement(least=least, problem=error.message)
    mine = rows.filter((pl.col("recipe") == enrichment.recipe) & pl.col("value").is_not_null())
    concerned = documents.filter(concerned_by(enrichment)).join(mine, left_on="content_hash", right_on="input_hash")
    addresses = workspace.lake.read(DOCUMENTS, ["document_id", "uri"])
    labels = concerned.join(addresses, on="document_id").select("uri", "value")
    read = {uri: json.loads(value) for uri, value in labels.iter_rows()}
    return agreement(by_people, read, takes_many=enrichment.takes_many, least=least)
