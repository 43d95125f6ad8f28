"""Which documents a question names: by id, by address, or by the end of one.

Belongs here: finding them among many without looking at each.
Does not belong here: equal copies of a document (`evaluate.py`), the form of a question (`questions.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

from rag_pipeline.contracts.evaluation import ExpectedDocument


class Addresses:
    """Documents by the last step of their addresses: a question for each of thousands is asked of as many."""

    def __init__(self, documents: Iterable[tuple[str, str]]) -> None:
        """From ids and addresses of documents."""
        self._by_ending: dict[str, set[tuple[str, str]]] = {}
        for document, uri in documents:
            # A place in a file is named by the file, too.
            for address in {uri, uri.partition("#")[0]}:
                self._by_ending.setdefault(_ending(address), set()).add((address, document))

    def of(self, expected: ExpectedDocument) -> set[str]:
        """Ids of the documents that an expected one names; one that is named by its id need not be there."""
        if expected.document_id is not None:
            return {expected.document_id}
        near = self._by_ending.get(_ending(expected.address), set())
        return {document for address, document in near if _is_at(address, expected)}


def _ending(address: str) -> str:
    return address.rpartition("/")[2]


def _is_at(address: str, expected: ExpectedDocument) -> bool:
    """Whether an address is the one that a question expects, or ends like it."""
    if expected.uri is not None:
        return address == expected.uri
    suffix = str(expected.uri_suffix).lstrip("/")
    return address == suffix or address.endswith(f"/{suffix}")
