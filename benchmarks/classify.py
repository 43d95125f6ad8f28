"""How right are the labels of `nearest`, which need no chat model? Against people's labels in front matter.

    python -m benchmarks.classify --folder F [--field category type] [--labels labels.yaml]

The folder is any with Markdown documents that name their label under one of the fields; the file of labels gives
prototype texts as `enrichments` does. Without one, those below for the Ethereum improvement proposals: written from
what EIP-1 says of each category, before any proposal was looked at, and not changed since.

majority          the commonest label for every document
nearest           as `kind: nearest` labels: no document's label is known
nearest centroid  what labels are worth: the mean vector of the documents of each label, four fifths labelled, asked
                  about the last fifth, in turns

Balanced accuracy is the mean over labels of what share of their documents got them. The curve says for each threshold
how many documents get a label at all, and how many of these the right one.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.enrichments import NO_LABEL, Enrichment
from rag_pipeline.embedding.open import open_model
from rag_pipeline.parsing import ParseLimits
from rag_pipeline.transforms.enrich import EnrichOptions
from rag_pipeline.transforms.enrichments import labels_by_nearness
from rag_pipeline.transforms.worker_tasks import ParseRecipe, parse_object

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
# What says only that it was moved has no text to be labelled by.
LEAST_CHARS = 400
MOST_CHARS = 2_000
FOLDS = 5
THRESHOLDS = (-1.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
EIPS = {
    "Core": [
        "A change of the consensus rules that needs a fork: opcodes, gas prices, blocks, transactions, precompiles.",
        "A change of the virtual machine that all clients have to make at one block number.",
    ],
    "Networking": [
        "A change of the wire protocol between nodes: messages, handshakes, discovery, synchronisation of peers.",
    ],
    "Interface": [
        "A specification of client interfaces: JSON-RPC methods, the provider API of wallets, language-level names.",
    ],
    "ERC": [
        "A standard of applications: token contracts, registries, wallet formats, URI schemes, libraries.",
    ],
    "Meta": [
        "A process around the protocol: procedures, guidelines, changes of how decisions are made, a list of what a "
        "hard fork contains.",
    ],
    "Informational": [
        "A design issue is described, or guidelines and information are given to the community; nothing is proposed.",
    ],
}


def labelled_texts(folder: Path, fields: Sequence[str], labels: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """(label, beginning of title and text) of each document that says one of the labels, as the pipeline parses it."""
    found = []
    for path in sorted(folder.rglob("*.md")):
        documents = parse_object(
            (path.read_bytes(), "text/markdown", path.name), ParseRecipe(ParseLimits(), EnrichOptions())
        )
        document = documents[0]
        said = [str(document.metadata.get(field)) for field in fields]
        label = next((each for each in said if each in labels), None)
        if label is not None and len(document.text) >= LEAST_CHARS:
            text = f"{document.title}\n\n{document.text}" if document.title else document.text
            found.append((label, text[:MOST_CHARS]))
    return found


def by_centroid(truth: Sequence[str], vectors: np.ndarray) -> list[str]:
    """Label of each by the means of the others' labels: a fifth is asked about at a time."""
    given = [""] * len(truth)
    names = np.array(truth)
    fold = np.arange(len(truth)) % FOLDS
    for asked in range(FOLDS):
        known = fold != asked
        labels = sorted(set(names[known]))
        centres = np.stack([vectors[known & (names == label)].mean(axis=0) for label in labels])
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        for at in np.flatnonzero(~known):
            given[at] = labels[int(np.argmax(centres @ vectors[at]))]
    return given


def accuracies(truth: Sequence[str], given: Sequence[str]) -> tuple[float, float]:
    """Share that is right, and the mean of that share over the labels that there are."""
    right = Counter(label for label, found in zip(truth, given, strict=True) if label == found)
    total = Counter(truth)
    return right.total() / len(truth), float(np.mean([right[label] / count for label, count in total.items()]))


def curve(
    truth: Sequence[str], vectors: np.ndarray, prototypes: Mapping[str, np.ndarray]
) -> list[tuple[float, float, float]]:
    """(threshold, share that got a label, share of these that is right)."""
    points = []
    for threshold in THRESHOLDS:
        enrichment = Enrichment("label", "nearest", ("label",), "recipe", threshold=threshold)
        given = [found[0] for found in labels_by_nearness(enrichment, vectors, prototypes)]
        labelled = [(label, found) for label, found in zip(truth, given, strict=True) if found != NO_LABEL]
        right = sum(label == found for label, found in labelled)
        points.append((threshold, len(labelled) / len(truth), right / len(labelled) if labelled else 0.0))
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description="How right are the labels of `nearest`?")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--field", nargs="+", default=["category", "type"])
    parser.add_argument("--labels", type=Path, help="prototypes by label, as YAML; else those of the EIPs")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--cache", type=Path, default=Path("data/lake/.cache"))
    options = parser.parse_args()
    labels = yaml.safe_load(options.labels.read_text("utf-8")) if options.labels else EIPS
    texts = labelled_texts(options.folder, options.field, labels)
    if len(texts) < FOLDS:
        raise SystemExit(f"{options.folder}: {len(texts)} documents say one of {', '.join(labels)}; want {FOLDS}")
    truth = [label for label, _ in texts]
    model = open_model(EmbeddingModelSpec("m", options.model), options.cache)
    vectors = np.asarray(model.embed_documents([text for _, text in texts]), dtype=np.float32)
    prototypes = {label: model.embed_documents(list(each)) for label, each in labels.items()}
    always = Enrichment("label", "nearest", ("label",), "recipe", threshold=-1.0)
    given = {
        "majority": [Counter(truth).most_common(1)[0][0]] * len(truth),
        "nearest": [found[0] for found in labels_by_nearness(always, vectors, prototypes)],
        "nearest centroid": by_centroid(truth, vectors),
    }
    counts = ", ".join(f"{label} {count}" for label, count in Counter(truth).most_common())
    print(f"{len(truth):,} documents: {counts}\n")  # noqa: T201
    print("| labels by | accuracy | balanced accuracy |\n|---|---|---|")  # noqa: T201
    for name, found in given.items():
        right, balanced = accuracies(truth, found)
        print(f"| {name} | {right:.3f} | {balanced:.3f} |")  # noqa: T201
    print("\n| threshold | labelled | of these right |\n|---|---|---|")  # noqa: T201
    for threshold, share, right in curve(truth, vectors, prototypes):
        print(f"| {threshold:.1f} | {share:.3f} | {right:.3f} |")  # noqa: T201


if __name__ == "__main__":
    main()
