"""What follows wherever readers were pointed to something else.

Belongs here: the order of it. Does not belong here: each part (`deliver.py`, `kept_answers.py`).
"""

from __future__ import annotations

from rag_pipeline.refresh.deliver import deliver_published
from rag_pipeline.refresh.kept_answers import erase_fallen_answers
from rag_pipeline.refresh.workspace import Workspace


def pointer_moved(workspace: Workspace) -> None:
    """Readers elsewhere see the same, and answers that were made from what has gone go, too; no fault ends the step."""
    deliver_published(workspace)
    erase_fallen_answers(workspace)
