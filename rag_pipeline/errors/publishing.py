"""What keeps an index from being published."""

from __future__ import annotations

from rag_pipeline.errors.base import RagPipelineError


class IndexIncomplete(RagPipelineError):
    """The index lacks something that silver holds; readers stay where they were."""

    code = "index_incomplete"
    exit_code = 1


class EvaluationBelowBaseline(RagPipelineError):
    """The index was not evaluated, or is worse than what readers see; they stay where they were."""

    code = "evaluation_below_baseline"
    exit_code = 1


class PermissionLeak(RagPipelineError):
    """A search returned what its asker may not read; readers stay where they were."""

    code = "permission_leak"
    exit_code = 1


class AuditFailed(RagPipelineError):
    """The index is not what silver says it should be; readers stay where they were."""

    code = "audit_failed"
    exit_code = 1


class NoQuestion(RagPipelineError):
    """What somebody said of a hit or an answer cannot become a question of evaluation."""

    code = "no_question"
    exit_code = 1


class QuestionsNotWritten(RagPipelineError):
    """A file of questions could not be written."""

    code = "questions_not_written"
