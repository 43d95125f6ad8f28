"""Generated documents, the same on every machine. Nothing of the package is imported here: rivals read them too."""

from __future__ import annotations

import os
import random
from pathlib import Path

# What was modified a moment before it was first read is read again every time, which no real folder is all made of.
LAST_MODIFIED = 1_700_000_000
_TEXT = (
    "table index search query document permission version pipeline schedule partition embedding vector storage commit "
    "retry failure quarantine release engine bridge harbour winter copper signal garden ladder morning paper river"
)
_WORDS = _TEXT.split()


def generated_document(number: int, sections: int = 9, words: int = 110) -> str:
    """A Markdown document of so many sections, each one chunk, no two alike; the same on every machine."""
    chosen = random.Random(number)
    parts = [
        f"## Section {section}\n\nFact {section} of document {number}: {' '.join(chosen.choices(_WORDS, k=words))}.\n"
        for section in range(sections)
    ]
    return f"# Document {number}\n\n" + "\n".join(parts)


def write_documents(folder: Path, count: int, sections: int = 9) -> None:
    """Generated documents below `folder`, a hundred to a subfolder."""
    for number in range(count):
        path = folder / f"{number // 100:03}" / f"{number:05}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(generated_document(number, sections), "utf-8")
        os.utime(path, (LAST_MODIFIED, LAST_MODIFIED))


def sections_of(text: str) -> list[str]:
    """The sections of a generated document: what every contender of a comparison takes for its chunks."""
    return ["## " + section.strip() for section in text.split("## ")[1:]]


def body_of(chunk: str) -> str:
    """The part of a chunk that no contender adds to: from its fact on."""
    return chunk[chunk.index("Fact ") :].strip()
