"""sentence-transformers on torch: the reference, and the way to a GPU.

Belongs here: loading a model folder and running its modules as they are.
Does not belong here: choosing between this and OpenVINO (`open.py`).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy.typing as npt

from rag_pipeline.contracts.embedding import EmbeddingSpace
from rag_pipeline.embedding.batching import BatchLimits, Rows, plan
from rag_pipeline.embedding.extra import require_torch
from rag_pipeline.embedding.layout import ModelLayout
from rag_pipeline.embedding.offline import set_offline_flags
from rag_pipeline.errors import SettingsError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

# Text length in characters stands for tokens here: the model tokenizes for itself.
_CPU_LIMITS = BatchLimits(tokens=4_096, texts=8, slack=0.1)
_CUDA_LIMITS = BatchLimits(tokens=262_144, texts=512, slack=1.0)


def load_reference(
    folder: Path, device: Literal["cpu", "cuda"], precision: str, max_tokens: int | None = None
) -> SentenceTransformer:
    """The model exactly as sentence-transformers loads it, in the precision asked for.

    Raises:
        ModelUnavailable: sentence-transformers is not installed.
    """
    require_torch(f"the embedding model in {folder}", "`backend: torch`, a GPU, or an architecture that only it knows")
    set_offline_flags()
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    # sentence-transformers logs the prompts and the folder of each load, which is noise in a run's log.
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = SentenceTransformer(str(folder), device=device, local_files_only=True, model_kwargs={"dtype": dtype})
    if max_tokens is not None:
        model.max_seq_length = max_tokens
    model.eval()
    return model


class TorchBackend:
    """Runs `encode` on batches sorted by length; one batch at a time uses all cores or the GPU.

    Raises:
        SettingsError: A precision that torch cannot give without ruining the vectors.
    """

    workers = 1

    def __init__(self, layout: ModelLayout, space: EmbeddingSpace, device: Literal["cpu", "cuda"]) -> None:
        if space.precision == "int8":
            raise SettingsError(
                f"embedding model {space.alias}: `precision: int8` is not offered on torch, where it changes a third "
                f"of all nearest neighbours; use fp32 or bf16",
                alias=space.alias,
            )
        self._model = load_reference(layout.folder, device, space.precision, space.max_tokens)
        # The fast tokenizer under that of transformers; a slow one has none.
        self.tokenizer: Tokenizer | None = getattr(self._model.tokenizer, "backend_tokenizer", None)
        self._limits = _CUDA_LIMITS if device == "cuda" else _CPU_LIMITS

    def prepare(self, texts: list[str]) -> list[str]:
        """Nothing to prepare: the model tokenizes for itself."""
        return texts

    def plan(self, prepared: list[str]) -> list[Rows]:
        """Batches of similar length in characters."""
        return plan([len(text) for text in prepared], self._limits)

    def compute(self, prepared: list[str], rows: Rows) -> npt.NDArray[Any]:
        """The model's output for these rows, [rows, width]."""
        import torch

        texts = [prepared[row] for row in rows]
        # The prompt is in the text already; an empty one keeps a default prompt of the model out.
        output = self._model.encode(
            texts, prompt="", batch_size=len(texts), convert_to_tensor=True, show_progress_bar=False
        )
        assert isinstance(output, torch.Tensor)
        vectors: npt.NDArray[Any] = output.float().cpu().numpy()
        return vectors
