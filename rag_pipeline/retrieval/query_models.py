"""Models that questions are embedded with, opened when a publication first needs them.

Belongs here: one open model for each embedding space, and refusing one of another space.
Does not belong here: opening models (`embedding/`), searching (`search.py`).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.log_rows import Publication
from rag_pipeline.errors import EmbeddingSpaceMismatch

if TYPE_CHECKING:
    from rag_pipeline.embedding.open import EmbeddingModel


class QueryModels:
    """Open models by embedding space; many threads may ask."""

    def __init__(self, cache_folder: Path) -> None:
        self._cache_folder = cache_folder
        self._models: dict[str, EmbeddingModel] = {}
        self._opening = Lock()

    def close(self) -> None:
        """Let go of all."""
        self._models.clear()

    def of(self, publication: Publication) -> EmbeddingModel:
        """The model of a publication's space.

        Raises:
            EmbeddingSpaceMismatch: The one that can be opened here is of another.
        """
        with self._opening:
            return self._opened(publication)

    def _opened(self, publication: Publication) -> EmbeddingModel:
        fingerprint = publication.space_fingerprint
        if fingerprint not in self._models:
            from rag_pipeline.embedding.open import open_model

            # One query is computed sooner on a processor than a GPU library is loaded; the vectors are the same.
            spec = replace(EmbeddingModelSpec(**json.loads(publication.model_spec)), device="cpu")
            model = open_model(spec, self._cache_folder)
            if model.space.fingerprint != fingerprint:
                raise EmbeddingSpaceMismatch(
                    f"the published index is of embedding space {fingerprint}, but model {spec.model} here is "
                    f"{model.space.fingerprint}; its answers would mean nothing, so nothing was searched. Install "
                    f"the weights the index was made with, or publish an index of this model.",
                    published=fingerprint,
                    found=model.space.fingerprint,
                )
            self._models[fingerprint] = model
        return self._models[fingerprint]
