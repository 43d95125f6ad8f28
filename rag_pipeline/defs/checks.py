"""The table of checks: name, asset, severity, function and one true sentence each.

Belongs here: which checks there are. A new check is a row here, and its row in `docs/runbook.md`.
Does not belong here: what a check looks at (`*_checks.py`); what an asset says of its own step, beside that asset.

A check blocks only if what is made from its asset would be wrong; it then stops the rest of its own run. The audit and
the evaluation do not block: publication reads both itself, and says at its own asset why it refuses.
"""

import warnings

import dagster as dg

from rag_pipeline.defs.check_rows import ERROR, WARN, Check
from rag_pipeline.defs.history_checks import (
    chunk_lengths_are_usual,
    fields_are_usual,
    languages_are_usual,
    neighbours_are_as_near,
    openness_is_usual,
    quality_is_usual,
    readers_are_known,
    refusals_are_usual,
    vector_lengths_are_usual,
    vectors_point_where_they_did,
    volumes_are_usual,
)
from rag_pipeline.defs.hybrid_checks import (
    hits_move_with_a_cause,
    hybrid_is_as_good_as_each_retriever,
    questions_are_diverse,
    unconfirmed_questions_find_what_they_did,
)
from rag_pipeline.defs.promise_checks import (
    audit_passed,
    boilerplate_is_current,
    chunks_have_vectors,
    documents_are_cut,
    duplicates_have_a_document,
    evaluation_is_not_below_published,
    models_have_not_drifted,
    objects_are_accounted_for,
    published_version_is_kept,
)
from rag_pipeline.defs.quality_checks import approximate_index_is_close, documents_lose_no_more_than_usual
from rag_pipeline.defs.search_checks import searches_find_what_they_did
from rag_pipeline.defs.source_checks import (
    LARGEST_PROBLEM_SHARE,
    content_is_young,
    has_documents,
    objects_are_readable,
    permissions_can_be_read,
    somebody_may_read,
)
from rag_pipeline.defs.specs import (
    BOILERPLATE_KEY,
    CHUNKS_KEY,
    DOCUMENTS_KEY,
    DUPLICATES_KEY,
    EMBEDDINGS_KEY,
    EVALUATION_KEY,
    INDEX_KEY,
    MAINTENANCE_KEY,
    QUARANTINE_KEY,
)
from rag_pipeline.defs.threshold_checks import CUT_INSIDE, LOW_QUALITY, QUARANTINED, REPEATED, SHORT
from rag_pipeline.settings import Pipeline

CHECKS = (
    Check(
        "source_has_documents",
        None,
        WARN,
        has_documents,
        "The source holds at least one document; none at all is a wrong location or pattern.",
    ),
    Check(
        "somebody_may_read_it",
        None,
        WARN,
        somebody_may_read,
        "At least one document of the source may be read by somebody; nothing said is nobody.",
    ),
    Check(
        "objects_are_readable",
        None,
        WARN,
        objects_are_readable,
        f"At most {LARGEST_PROBLEM_SHARE:.0%} of the source's objects cannot be read.",
    ),
    Check(
        "permissions_can_be_read",
        None,
        WARN,
        permissions_can_be_read,
        "Each sidecar and front matter can be read; an object whose permissions are not known is for nobody.",
    ),
    Check(
        "content_is_fresh",
        None,
        WARN,
        content_is_young,
        "The newest content of the source is not older than its content_stale_after, and no object has a modification "
        "time in the future: such times do not count. How long ago it was polled is the freshness policy's business.",
    ),
    Check(
        "every_object_is_a_document_or_quarantined",
        DOCUMENTS_KEY,
        ERROR,
        objects_are_accounted_for,
        "Each object that a source lists is a document, as it is now and with the permissions it has now, or is in "
        "quarantine with a reason; nothing else is here.",
        blocking=True,
    ),
    Check(
        "every_duplicate_names_a_document",
        DUPLICATES_KEY,
        ERROR,
        duplicates_have_a_document,
        "The document that stands for a duplicate is there, with the same text and permissions.",
        blocking=True,
    ),
    Check(
        "boilerplate_follows_from_documents",
        BOILERPLATE_KEY,
        ERROR,
        boilerplate_is_current,
        "What is left out as boilerplate follows from the documents there are now, and the documents that keep it are "
        "there.",
        blocking=True,
    ),
    Check(
        "every_document_has_its_chunks",
        CHUNKS_KEY,
        ERROR,
        documents_are_cut,
        "Each document that is not a duplicate has chunks of its present text, and nothing else has.",
        blocking=True,
    ),
    Check(
        "every_text_has_one_vector",
        EMBEDDINGS_KEY,
        ERROR,
        chunks_have_vectors,
        "Each text of silver/chunks has exactly one vector in the model's embedding space.",
        by_model=True,
        blocking=True,
    ),
    Check(
        "audit_passed",
        INDEX_KEY,
        ERROR,
        audit_passed,
        "The newest version of the index equals silver: no ghosts, none missing, text, metadata and permissions the "
        "same, vectors sound, every row reached by every index.",
        by_model=True,
    ),
    Check(
        "evaluation_not_below_published",
        EVALUATION_KEY,
        ERROR,
        evaluation_is_not_below_published,
        "Search quality on the configured questions is not below that of what readers see by more than the tolerance, "
        "and no question was answered with what its asker may not read. A model that is only kept beside the served "
        "one may be worse; publishing it would be refused.",
        by_model=True,
    ),
    Check(
        "published_version_is_kept",
        MAINTENANCE_KEY,
        ERROR,
        published_version_is_kept,
        "After maintenance the version that readers are pointed to still opens and is whole.",
    ),
    Check(
        "models_have_not_drifted",
        MAINTENANCE_KEY,
        ERROR,
        models_have_not_drifted,
        "Every living model gives a fixed set of texts the vectors it gave them when first checked; a changed library "
        "or weight file is noticed here.",
    ),
    Check(
        "quarantine_is_small",
        QUARANTINE_KEY,
        WARN,
        QUARANTINED,
        "Of no source were more objects refused than the threshold allows.",
    ),
    Check(
        "quality_is_good",
        DOCUMENTS_KEY,
        WARN,
        LOW_QUALITY,
        "Of no source do more documents score below low_quality_score than the threshold allows.",
    ),
    Check(
        "duplicates_are_few",
        DUPLICATES_KEY,
        WARN,
        REPEATED,
        "Of no source are more documents left out as duplicates than the threshold allows.",
    ),
    Check(
        "few_chunks_are_short",
        CHUNKS_KEY,
        WARN,
        SHORT,
        "Of no source are more chunks shorter than short_chunk_tokens than the threshold allows.",
    ),
    Check(
        "few_chunks_are_cut_inside_a_sentence",
        CHUNKS_KEY,
        WARN,
        CUT_INSIDE,
        "Of no source end more chunks inside a sentence or line, since it alone was over the limit, than the threshold "
        "allows.",
    ),
    Check(
        "volumes_are_usual",
        CHUNKS_KEY,
        WARN,
        volumes_are_usual,
        "No source has half or twice the documents, chunks or bytes of the last three weeks and of this weekday. It "
        "fails rightly when a source was extended or tidied up, for ten days.",
    ),
    Check(
        "refusals_are_usual",
        CHUNKS_KEY,
        WARN,
        refusals_are_usual,
        "Of no source are clearly more objects in quarantine for one reason than in the last three weeks.",
    ),
    Check(
        "languages_are_usual",
        CHUNKS_KEY,
        WARN,
        languages_are_usual,
        "The share of no language in a source moved by a fifth of its documents against the last three weeks: a parser "
        "that decodes wrongly looks so, and so does a source that another team fills.",
    ),
    Check(
        "fields_are_usual",
        CHUNKS_KEY,
        WARN,
        fields_are_usual,
        "No field of metadata that most documents of a source had in the last three weeks left half of them, or has "
        "values of another type, and no source has twice as many fields: filters by such a field find less. It fails "
        "rightly when an export or a parser was changed and that was meant, for ten days.",
    ),
    Check(
        "quality_is_usual",
        CHUNKS_KEY,
        WARN,
        quality_is_usual,
        "The texts of no source score a tenth worse on average than in the last three weeks, nor are a fifth more of "
        "them low: a parser or an export that breaks looks so before a threshold is reached. It fails rightly when "
        "low_quality_score was raised, or a source got texts of another kind, for ten days.",
    ),
    Check(
        "chunk_lengths_are_usual",
        CHUNKS_KEY,
        WARN,
        chunk_lengths_are_usual,
        "The chunks of no source are half as long again, or as short, as in the last three weeks. It fails rightly "
        "when chunking was changed in pipeline.yaml.",
    ),
    Check(
        "openness_is_usual",
        CHUNKS_KEY,
        WARN,
        openness_is_usual,
        "Of no source are a fifth more or fewer documents public, or closed to everybody, than in the last three "
        "weeks. It fails rightly when a rule was changed and that was meant.",
    ),
    Check(
        "readers_are_known",
        CHUNKS_KEY,
        WARN,
        readers_are_known,
        "No principal came to read a good part of a source since yesterday, and none lost it: a group that was renamed "
        "at the source looks so. It is green again after a day.",
    ),
    Check(
        "documents_lose_no_more_than_usual",
        DOCUMENTS_KEY,
        WARN,
        documents_lose_no_more_than_usual,
        "Of no source is clearly more left out of its documents, by any cause such as pages without text or hidden "
        "rows, than in any of the last runs.",
    ),
    Check(
        "approximate_index_is_close",
        INDEX_KEY,
        WARN,
        approximate_index_is_close,
        "The approximate vector index finds at least 95 % of the true nearest rows at the depth that readers search. "
        "One that does not is searched deeper, then exactly: slower, and nothing is lost.",
        by_model=True,
    ),
    Check(
        "vectors_point_where_they_did",
        EMBEDDINGS_KEY,
        WARN,
        vectors_point_where_they_did,
        "What was embedded of a source in the last run points, on average, where its vectors pointed before, and not "
        "all in one direction. It fails rightly when a source got texts of another kind or language, for a day.",
        by_model=True,
    ),
    Check(
        "vector_lengths_are_usual",
        EMBEDDINGS_KEY,
        WARN,
        vector_lengths_are_usual,
        "The model gave the last vectors of each source about as long as those before; they are made unit vectors "
        "then, so no search shows it. It fails rightly when a source got texts of another kind or length, for a day.",
        by_model=True,
    ),
    Check(
        "neighbours_are_as_near",
        INDEX_KEY,
        WARN,
        neighbours_are_as_near,
        "The texts of no source lie half as near again to each other as in the last three weeks, or half as far, nor "
        "has a fifth more of them nearly the vector of another one. It fails rightly when a source got many texts of "
        "another kind, for ten days.",
        by_model=True,
    ),
    Check(
        "hits_move_with_a_cause",
        EVALUATION_KEY,
        WARN,
        hits_move_with_a_cause,
        "No configured question finds mostly other documents first than at the evaluation before, unless one of them "
        "is new, changed or gone. It may fail rightly where very many documents were added or removed.",
        by_model=True,
    ),
    Check(
        "unconfirmed_questions_find_what_they_did",
        EVALUATION_KEY,
        WARN,
        unconfirmed_questions_find_what_they_did,
        "Search quality on questions that a program wrote, and that nobody has confirmed yet, is not below that of "
        "what readers see by more than the tolerance. They decide nothing until a person confirms them.",
        by_model=True,
    ),
    Check(
        "questions_are_diverse",
        EVALUATION_KEY,
        WARN,
        questions_are_diverse,
        "The questions that a program wrote are worded differently, ask different things, and are about most of what "
        "readers see, also what there is little of. It looks at 20 or more.",
        by_model=True,
    ),
    Check(
        "searches_find_what_they_did",
        EVALUATION_KEY,
        WARN,
        searches_find_what_they_did,
        "Of the searches that the API served on the last day, not clearly more found nothing, or nothing near, than in "
        "the last three weeks. It fails rightly where people, or an agent, began to ask for other things.",
        by_model=True,
    ),
    Check(
        "hybrid_is_as_good_as_each_retriever",
        EVALUATION_KEY,
        WARN,
        hybrid_is_as_good_as_each_retriever,
        "On the configured questions hybrid search finds as well as words alone and as vectors alone.",
        by_model=True,
    ),
)


def build_checks(pipeline: Pipeline) -> list[dg.AssetChecksDefinition]:
    """All checks of a pipeline that stand beside its assets."""
    with warnings.catch_warnings():
        # Checks per partition are still marked as preview; the pinned minor version has them whole.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [built for check in CHECKS for built in check.built(pipeline)]
