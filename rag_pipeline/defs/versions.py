"""Code versions of the assets: when the recipe changed since an asset was last made, the UI says that it is unsynced.

Belongs here: which constants decide what an asset holds.
Does not belong here: the constants; each stands beside the code that it is the version of.
"""

from collections.abc import Callable, Mapping

import dagster as dg

from rag_pipeline.contracts.enrichments import ENRICHMENT_VERSION
from rag_pipeline.contracts.evaluation import EVALUATOR_VERSION
from rag_pipeline.contracts.index import INDEX_VERSION
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.parsing import builder, decode
from rag_pipeline.parsing.registry import all_parsers_version
from rag_pipeline.transforms import block_hashes, language, near_duplicates, quality, sensitive
from rag_pipeline.transforms.chunk import omission
from rag_pipeline.transforms.chunk.params import CHUNKER_VERSION
from rag_pipeline.transforms.metadata import METADATA_VERSION


def _documents() -> str:
    looks = f"{language.VERSION}.{quality.VERSION}.{block_hashes.VERSION}.{sensitive.VERSION}"
    return f"parsers-{all_parsers_version()}.{decode.VERSION}.{builder.VERSION}.looks-{looks}"


_RECIPES: Mapping[str, Callable[[], str]] = {
    "source": lambda: f"metadata-{METADATA_VERSION}",
    "bronze": lambda: f"metadata-{METADATA_VERSION}",
    "silver/revocations": lambda: f"index-{INDEX_VERSION}",
    "silver/documents": _documents,
    "silver/quarantine": _documents,
    "silver/duplicates": lambda: f"signature-{near_duplicates.signature_recipe()[:8]}",
    "silver/boilerplate": lambda: f"blocks-{block_hashes.VERSION}.{omission.VERSION}",
    "silver/chunks": lambda: f"chunker-{CHUNKER_VERSION}.{omission.VERSION}",
    "silver/enrichments": lambda: f"enrichment-{ENRICHMENT_VERSION}",
    "gold/index": lambda: f"index-{INDEX_VERSION}",
    "gold/evaluation": lambda: f"evaluator-{EVALUATOR_VERSION}",
}


def code_version(key: dg.AssetKey, contract: TableContract | None = None) -> str:
    """Version of everything in the program that decides what an asset holds.

    Args:
        contract: Of the asset's table, if it has one.
    """
    name = key.path[0] if key.path[0] in ("source", "bronze") else "/".join(key.path)
    table = f"table-{contract.version}" if contract is not None else ""
    recipe = _RECIPES.get(name, lambda: "")()
    return ".".join(part for part in (table, recipe) if part) or "1"
