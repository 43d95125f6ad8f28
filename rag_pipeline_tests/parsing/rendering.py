"""How goldens show parsed documents, and the invariants that every parser's output must hold."""

from __future__ import annotations

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import DocumentError
from rag_pipeline.parsing import ParseLimits, parse


def outcome(raw: bytes, media_type: str, address: str = "a") -> list[ParsedDocument] | DocumentError:
    """What `parse` gives or the reason why it refuses; any other exception passes through."""
    try:
        return parse(raw, media_type, address, ParseLimits())
    except DocumentError as error:
        return error


def is_surprise(result: list[ParsedDocument] | DocumentError) -> bool:
    """Whether a parser failed in a way that it does not know about itself."""
    return isinstance(result, DocumentError) and "failed with" in result.message


def render(documents: list[ParsedDocument]) -> str:
    """One line a block: kind, level, label, page, line, and the text."""
    lines: list[str] = []
    for document in documents:
        lines.append(f"document part={document.part!r} title={document.title!r} author={document.author!r}")
        lines += [f"  metadata {name}={value!r}" for name, value in document.metadata.items()]
        for block in document.blocks:
            facts = [block.kind, f"level={block.level}" if block.level else "", f"label={block.label!r}"]
            reach = "" if block.holds_lines else "(beginning)"
            facts += [f"page={block.page}" if block.page else "", f"line={block.line}{reach}" if block.line else ""]
            text = document.text[block.start_char : block.end_char]
            lines.append("  " + " ".join(fact for fact in facts if fact) + f" {text!r}")
    return "\n".join(lines) + "\n"


def check_invariants(documents: list[ParsedDocument]) -> None:
    """Spans are in range, ordered, apart and trimmed; parts are distinct; text can be stored."""
    assert documents
    assert len({document.part for document in documents}) == len(documents)
    for document in documents:
        end = 0
        document.text.encode()
        assert "\r" not in document.text
        for block in document.blocks:
            assert end <= block.start_char <= block.end_char <= len(document.text)
            # A picture of which nothing was read is a place.
            assert block.start_char < block.end_char or block.kind == "picture"
            text = document.text[block.start_char : block.end_char]
            assert text == text.strip()
            assert block.kind != "heading" or (block.level >= 1 and block.label)
            assert block.label is None or "\n" not in block.label
            end = block.end_char
        assert len(document.pictures) == sum(block.kind == "picture" for block in document.blocks)
        for value in (document.title, document.author, *document.metadata, *document.metadata.values()):
            assert value is None or value.encode() is not None
