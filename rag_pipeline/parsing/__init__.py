"""From bytes to text with structure: one parser per format behind one function.

Belongs here: media types, decoding, cleaning of single characters, parsers, and their limits.
Does not belong here: cutting into chunks, scoring, deduplication, reading files, or processes.
"""

from rag_pipeline.parsing.limits import ParseLimits
from rag_pipeline.parsing.media_type import media_type_of
from rag_pipeline.parsing.registry import parse, recipe_version

__all__ = ["ParseLimits", "media_type_of", "parse", "recipe_version"]
