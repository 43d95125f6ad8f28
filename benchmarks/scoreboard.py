"""What a change costs: texts embedded at each step of one story, for us and for rivals where they are installed.

    python -m benchmarks.scoreboard [--documents 1000] [--only NAME ...]

A thousand documents of nine chunks, one state from first to last. Every contender gets the same chunks (a section is a
chunk) and the model of `Counter`, whose calls are what counts. A ghost is a row that no file stands behind any more, or
a row that is there twice; missing is a text of some file that no row holds.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import tempfile
from collections import Counter as Bag
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.documents import body_of, sections_of, write_documents

FIRST, SECOND = "first", "second"
EVERYBODY, STAFF = "public", "staff"


class Contender(Protocol):
    """Something that keeps an index in step with a folder.

    Attributes:
        calls: Texts embedded so far.
        served_meanwhile: Whether readers saw all of the old index and nothing else while another model's was built;
            None if that is left to the application.
    """

    calls: int
    served_meanwhile: bool | None

    def refresh(self, model: str, principals: list[str]) -> None:
        """Bring the index up to date, with this model, readable to these principals."""

    def rows(self) -> list[tuple[str, str]]:
        """(address, text) of every row that is served."""


@dataclass(frozen=True)
class Outcome:
    """What one step cost and left behind."""

    calls: int
    ghosts: int
    missing: int


@dataclass(frozen=True)
class Step:
    """One step of the story: what happens to the folder, then a refresh."""

    name: str
    happens: Callable[[Path], None]
    wanted: Callable[[int], int]
    model: str = FIRST
    principals: str = EVERYBODY


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.md"))


def edit_one_paragraph(folder: Path) -> None:
    for path in files(folder)[:10]:
        text = path.read_text("utf-8")
        path.write_text(text.replace("Fact 4 of", "Fact 4, put better, of"), "utf-8")


def touch(folder: Path) -> None:
    for path in files(folder)[10:20]:
        path.touch()


def rename(folder: Path) -> None:
    for path in files(folder)[20:25]:
        path.rename(path.with_name(f"renamed-{path.name}"))


def copy(folder: Path) -> None:
    for path in files(folder)[25:30]:
        shutil.copy2(path, path.with_name(f"copy-of-{path.name}"))


def delete(folder: Path) -> None:
    for path in files(folder)[40:50]:
        path.unlink()


def nothing(_: Path) -> None:
    return


STORY = (
    Step("cold", nothing, lambda documents: 9 * documents),
    Step("unchanged", nothing, lambda _: 0),
    Step("one paragraph edited in 10 documents", edit_one_paragraph, lambda _: 10),
    Step("10 touched", touch, lambda _: 0),
    Step("5 renamed", rename, lambda _: 0),
    Step("5 copied", copy, lambda _: 0),
    Step("10 deleted", delete, lambda _: 0),
    Step("permissions changed on all", nothing, lambda _: 0, principals=STAFF),
    Step("model changed", nothing, lambda documents: 9 * (documents - 10), SECOND, STAFF),
    Step("back to the first model", nothing, lambda _: 0, FIRST, STAFF),
)


def play(contender: Contender, folder: Path) -> list[Outcome]:
    """Live through the story; the folder holds the documents as they are at its beginning."""
    outcomes = []
    for step in STORY:
        step.happens(folder)
        before = contender.calls
        contender.refresh(step.model, [step.principals])
        rows = contender.rows()
        expected = {
            (path.relative_to(folder).as_posix(), body_of(section))
            for path in files(folder)
            for section in sections_of(path.read_text("utf-8"))
        }
        repeated = sum(count - 1 for count in Bag(rows).values())
        texts = {text for _, text in rows}
        outcomes.append(
            Outcome(
                calls=contender.calls - before,
                ghosts=len(set(rows) - expected) + repeated,
                missing=len({text for _, text in expected} - texts),
            )
        )
    return outcomes


def _ours(work: Path, folder: Path) -> Contender:
    from benchmarks.ours import OurPipeline

    return OurPipeline(work, folder)


def _cocoindex(work: Path, folder: Path) -> Contender:
    from benchmarks.rivals import CocoIndex

    return CocoIndex(work, folder)


def _langchain(_: Path, folder: Path) -> Contender:
    from benchmarks.rivals import LangChain

    return LangChain(folder)


def _llamaindex(_: Path, folder: Path) -> Contender:
    from benchmarks.rivals import LlamaIndex

    return LlamaIndex(folder)


CONTENDERS: dict[str, tuple[str, Callable[[Path, Path], Contender]]] = {
    "rag_pipeline": ("deltalake", _ours),
    "CocoIndex": ("cocoindex", _cocoindex),
    "LangChain": ("langchain_core", _langchain),
    "LlamaIndex": ("llama_index", _llamaindex),
}


def table(documents: int, played: dict[str, tuple[list[Outcome], bool | None]]) -> str:
    lines = [f"| step | wanted | {' | '.join(played)} |", f"|---|---|{'---|' * len(played)}"]
    for number, step in enumerate(STORY):
        calls = [f"{outcomes[number].calls:,}" for outcomes, _ in played.values()]
        lines.append(f"| {step.name} | {step.wanted(documents):,} | {' | '.join(calls)} |")
    for name in ("ghosts", "missing"):
        worst = [str(max(getattr(outcome, name) for outcome in outcomes)) for outcomes, _ in played.values()]
        lines.append(f"| {name}, at the worst step | 0 | {' | '.join(worst)} |")
    words = {True: "yes", False: "no", None: "left to you"}
    served = [words[meanwhile] for _, meanwhile in played.values()]
    lines.append(f"| the old model serves meanwhile | yes | {' | '.join(served)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What a change costs, for us and for rivals.")
    parser.add_argument("--documents", type=int, default=1_000)
    parser.add_argument("--only", nargs="*", choices=list(CONTENDERS), default=list(CONTENDERS))
    options = parser.parse_args(arguments)
    played = {}
    for name in options.only:
        module, opened = CONTENDERS[name]
        if importlib.util.find_spec(module) is None:
            print(f"{name} is not installed here and is left out")  # noqa: T201
            continue
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work) / "docs"
            write_documents(folder, options.documents)
            contender = opened(Path(work), folder)
            played[name] = (play(contender, folder), contender.served_meanwhile)
    print(table(options.documents, played))  # noqa: T201


if __name__ == "__main__":
    main()
