"""What parsing, cleaning and cutting cost: per format, and for whole folders against embedding what they give.

    python -m benchmarks.parsing [--zoo ../shared/corpora/format_zoo] [--folder FOLDER ...] [--rounds 3]

Formats: every file of the zoo, or of the sample documents where the zoo is not there, in a worker process, one after
the other; CPU-seconds of the cheapest round, so documents/s and MB/s are those of one core. `cutting` is the share of
finding chunks; the rest is parsing, cleaning, language and quality. Refused are files that the pipeline quarantines.
The peak is the whole process while it works on the format's files for the first time, libraries included.

Folders: the steps `silver/documents` and `silver/chunks` on a lake of their own, commits and near duplicates included,
against embedding each distinct text of their chunks once. The bar: never slower than a fast model, both cores used.
MiniLM embeds a sample, extrapolated by its tokens. No distilled static model can be had offline, so a stand-in shows
what one costs: little more than its tokenizer, and the chunker has to tokenize too. Read ratios and CPU-seconds first.
`cores busy` reaches the number of workers only on an idle machine; `cores asked for` counts waiting for a core as well.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from benchmarks import parsing_folders, parsing_formats
from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding.open import token_counter

SAMPLE = Path("data/sample")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zoo", type=Path, default=Path("../shared/corpora/format_zoo"), help="files of many formats")
    parser.add_argument("--folder", type=Path, action="append", default=[], help="documents; may be given again")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="worker processes, for folders")
    parser.add_argument("--sample", type=int, default=400, help="texts that MiniLM embeds of each folder")
    parser.add_argument("--skip-formats", action="store_true")
    options = parser.parse_args()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rag_pipeline"
    counter = token_counter(EmbeddingModelSpec("minilm", parsing_folders.MODEL), cache)
    if not options.skip_formats:
        zoo = options.zoo
        if not zoo.is_dir():
            print(f"{zoo} is not there; these are the sample documents.\n")  # noqa: T201
            zoo = SAMPLE
        print(parsing_formats.table(parsing_formats.measure(zoo, counter, options.rounds)), flush=True)  # noqa: T201
    if not options.folder:
        return
    with tempfile.TemporaryDirectory() as name:
        static = parsing_folders.static_stand_in(Path(name) / "static", cache)
        embed = parsing_folders.embedders(static, cache, counter)
        measured = {
            folder.name: parsing_folders.measure(folder, embed, options.rounds, options.workers, options.sample)
            for folder in options.folder
        }
    print(f"\n{parsing_folders.silver_table(measured)}\n\n{parsing_folders.embedding_table(measured)}")  # noqa: T201


if __name__ == "__main__":
    main()
