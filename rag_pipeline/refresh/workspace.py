"""What every refresh step works with: the lake, the models, the worker processes, the clock.

Belongs here: opening each of them once, when first used, and closing them.
Does not belong here: any step's logic.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rag_pipeline.contracts.delivery import DeliveryReport
from rag_pipeline.contracts.embedding import EmbeddingModelSpec, EmbeddingSpace
from rag_pipeline.contracts.engine import Engine, ModelOnWorkers
from rag_pipeline.contracts.recipe import SearchRecipe
from rag_pipeline.contracts.sources import SourceSpec
from rag_pipeline.parsing.limits import ParseLimits
from rag_pipeline.parsing.ocr.options import OcrOptions, require_engine
from rag_pipeline.settings import Pipeline
from rag_pipeline.settings.enrichments import writes_header_of
from rag_pipeline.settings.sections import ChunkSizeSettings
from rag_pipeline.sources import Source, open_source
from rag_pipeline.sources.erased import without_erased
from rag_pipeline.stores.erasures import erased_from
from rag_pipeline.stores.lake import INDEX_PATH, Lake
from rag_pipeline.stores.read_once import SHARED, ReadOnce
from rag_pipeline.transforms.chunk.params import ChunkParams, with_room
from rag_pipeline.transforms.enrich import EnrichOptions
from rag_pipeline.transforms.worker_tasks import ParseRecipe

if TYPE_CHECKING:
    from rag_pipeline.contracts.tokens import TokenCounter
    from rag_pipeline.embedding.open import EmbeddingModel
    from rag_pipeline.parallel.limits import WorkerLimits
    from rag_pipeline.parallel.pool import IsolatedPool
    from rag_pipeline.stores.vectors import VectorStore

ModelOpener = Callable[[EmbeddingModelSpec], "EmbeddingModel"]
SourceOpener = Callable[[SourceSpec], Source]


class Workspace:
    """One run's view of a pipeline. Close it, or use it as a context manager.

    Args:
        pipeline: Validated settings.
        run_id: Recorded in every row and commit.
        clock: Current time in UTC; tests replace it.
        open_model: How a model is opened; tests count with it.
        open_source: How a source is opened, by its spec.
        engine: What parses, cuts and embeds, and stays open for whoever made it; None: the one of pipeline.yaml.
        lake: Another lake than the one that pipeline.yaml names, in a folder; for a look at what a run would do.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        run_id: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        open_model: ModelOpener | None = None,
        open_source: SourceOpener = open_source,
        engine: Engine | None = None,
        lake: Lake | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.settings = pipeline.settings
        self.run_id = run_id
        self.now = clock
        # What only looks what a run would do uses nothing up.
        self.is_trial = lake is not None
        self.lake = lake or Lake(
            pipeline.lake_root, pipeline.lake_options, run_id, read_once=SHARED.get() or ReadOnce()
        )
        # Sources whose changes could not be recorded in bronze by this run, whatever the cause.
        self.unrecorded: set[str] = set()
        # How what is published was last delivered elsewhere by this run.
        self.delivery: DeliveryReport | None = None
        self._open_model = open_model
        self._models: dict[str, EmbeddingModel] = {}
        self._open_source = open_source
        self._given_engine = engine
        self._pool: IsolatedPool | None = None
        self._engine: Engine | None = None

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    @cached_property
    def vectors(self) -> VectorStore:
        from rag_pipeline.stores.vectors import VectorStore

        return VectorStore(self.lake.uri(INDEX_PATH), self.lake.storage_options, self.lake.still_writing)

    def source(self, name: str) -> Source:
        """A configured source, without what was erased from the lake.

        Raises:
            LakeDamaged: What was erased cannot be told.
        """
        return without_erased(self._open_source(self.pipeline.source_spec(name)), erased_from(self.lake))

    def space(self, alias: str) -> EmbeddingSpace:
        """Embedding space of a configured model, without loading the model."""
        from rag_pipeline.embedding.open import resolve_space

        return resolve_space(self.pipeline.model_spec(alias), self.pipeline.cache_folder)

    def model(self, alias: str) -> EmbeddingModel:
        """The model itself, opened once."""
        if alias not in self._models:
            spec = self.pipeline.model_spec(alias)
            if self._open_model is not None:
                self._models[alias] = self._open_model(spec)
            else:
                from rag_pipeline.embedding.open import open_model

                self._models[alias] = open_model(spec, self.pipeline.cache_folder)
        return self._models[alias]

    @cached_property
    def recipe(self) -> SearchRecipe:
        """How pipeline.yaml says that an index is searched, the reranking model named by its files.

        Raises:
            ModelUnavailable: Those are nowhere, or not whole.
        """
        spec = self.pipeline.reranker_spec
        if spec is None:
            return SearchRecipe()
        from rag_pipeline.embedding.reranker import resolve_reranker

        return SearchRecipe(spec, resolve_reranker(spec, self.pipeline.cache_folder).fingerprint)

    @cached_property
    def token_counter(self) -> TokenCounter:
        from rag_pipeline.embedding.open import token_counter

        return token_counter(self.pipeline.model_spec(self.pipeline.counted_alias), self.pipeline.cache_folder)

    def chunk_params(self, source: str, media_type: str) -> ChunkParams:
        """Chunker parameters for a source's documents of a media type.

        What pipeline.yaml says of the source, else of the media type, else of all; else the model's limit and the
        chunker's own defaults.
        """
        chunking = self.settings.chunking
        chosen: dict[str, Any] = {"max_tokens": self.token_counter.max_tokens}
        for sizes in (chunking, chunking.media_types.get(media_type), chunking.sources.get(source)):
            if sizes is not None:
                chosen |= sizes.model_dump(include=set(ChunkSizeSettings.model_fields), exclude_none=True)
        entries = self.settings.enrichments.values()
        kinds = [each.kind for each in entries if writes_header_of(each, source, media_type)]
        if kinds:
            chosen = with_room(chosen, self.token_counter.max_tokens, kinds)
        return ChunkParams(**chosen)

    @cached_property
    def parse_recipes(self) -> dict[str, ParseRecipe]:
        """How the objects of each source are parsed."""
        return {
            name: ParseRecipe(
                ParseLimits(
                    max_document_bytes=source.max_document_bytes,
                    max_text_bytes=source.max_text_bytes,
                    **self.settings.limits.parsing,
                ),
                EnrichOptions(
                    source.min_quality,
                    source.sensitive,
                    source.low_quality_weight if source.low_quality == "rank_down" else None,
                ),
                self._ocr_options(source.ocr or self.settings.ocr),
            )
            for name, source in self.settings.sources.items()
        }

    def _ocr_options(self, wanted: str) -> OcrOptions | None:
        allowed = self.settings.limits
        return (
            OcrOptions(allowed.max_ocr_pages, allowed.ocr_page_seconds, wanted == "always") if wanted != "off" else None
        )

    @cached_property
    def reads_pictures(self) -> bool:
        """Whether pictures of any source are read.

        Raises:
            ExtraMissing: They are to be, and what reads them is not installed.
        """
        if all(recipe.ocr is None for recipe in self.parse_recipes.values()):
            return False
        require_engine()
        return True

    def check_installed(self) -> None:
        """Before anything is parsed: whether what the settings ask of parsing is installed.

        Raises:
            ExtraMissing: It is not.
        """
        _ = self.reads_pictures

    @property
    def hiding_sources(self) -> list[str]:
        """Sources whose documents show nothing sensitive."""
        return [name for name, recipe in self.parse_recipes.items() if recipe.options.hides_sensitive]

    def parse_recipe(self, source: str) -> ParseRecipe:
        """How the objects of a source are parsed."""
        return self.parse_recipes[source]

    @property
    def engine(self) -> Engine:
        """What parses, cuts and embeds; workers start with the first piece of work.

        A look at what a run would do stays on this machine: its lake is a copy in a folder of its own.
        """
        if self._given_engine is not None:
            return self._given_engine
        settings = self.settings.engine
        if settings.kind == "local" or self.is_trial:
            return self.local_engine
        if self._engine is None:
            from rag_pipeline.parallel.ray_engine import RayEngine

            self._engine = RayEngine(
                settings.address,
                self._worker_limits,
                workers=self.settings.worker_processes,
                lake_root=self.lake.root,
                timeout_seconds=settings.timeout.total_seconds(),
            )
        return self._engine

    @property
    def local_engine(self) -> Engine:
        """What works on this machine, whatever the engine is: a single file is worth no cluster."""
        if self._given_engine is not None:
            return self._given_engine
        if self._pool is None:
            from rag_pipeline.parallel.pool import IsolatedPool

            self._pool = IsolatedPool(self.settings.worker_processes, self._worker_limits)
        return self._pool

    @property
    def _worker_limits(self) -> WorkerLimits:
        from rag_pipeline.parallel.limits import WorkerLimits

        allowed = self.settings.limits
        # Processor time is given page by page as they are read, so the clock need only not stop them before.
        reading_seconds = allowed.max_ocr_pages * allowed.ocr_page_seconds if self.reads_pictures else 0
        return WorkerLimits(
            memory_bytes=allowed.memory_bytes,
            cpu_seconds=allowed.cpu_seconds,
            wall_seconds=allowed.parse_timeout_seconds + reading_seconds,
        )

    def model_on_workers(self, alias: str) -> ModelOnWorkers:
        """A model for an engine to embed with."""
        spec = self.pipeline.model_spec(alias)
        there = None
        if self._open_model is None and spec.kind != "endpoint":
            from rag_pipeline.embedding.open import open_model

            there = partial(open_model, spec, self.pipeline.cache_folder)
        uses_gpu = spec.kind == "sentence-transformers" and spec.device != "cpu"
        return ModelOnWorkers(lambda: self.model(alias), there, self.space(alias).fingerprint, uses_gpu)
