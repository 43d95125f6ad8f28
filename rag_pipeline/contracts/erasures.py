"""What was erased and must not come back: tombstones, and the plan of an erasure that is under way.

Belongs here: the values, their small files in the lake, and telling whether something is erased.
Does not belong here: erasing (`refresh/erase.py`). Standard library only: a look reads it before anything heavy.

A tombstone holds hashes and no word of what was erased. Whoever knows a source and an address can tell whether that
was erased; nobody else can.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rag_pipeline.contracts.ids import digest
from rag_pipeline.errors import LakeDamaged

ERASED_FILE = "erased.json"
PENDING_FILE = ".erasing.json"
CERTIFICATES = "erasures"
# What a certificate says of its release, if there was one.
RELEASED_AT = "released_at"
# Raise it when an older program would misread the files.
_FORMAT = 1


def place_hash(source: str, address: str) -> str:
    """Stands for an address of a source."""
    return digest("place", source, address)


def principal_hash(name: str) -> str:
    """Stands for a principal among the places: no source has an empty name."""
    return place_hash("", name)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One erased document.

    Attributes:
        place: `place_hash` of where it lay.
        contents: Hashes of the bytes that it had; refused under any name where `by_content` says so.
        erased_at: UTC, ISO 8601.
        document: document_id in bronze, by which an older lake knows it wherever it lay then; earlier programs wrote
            none.
    """

    erasure_id: str
    place: str
    contents: tuple[str, ...]
    by_content: bool
    erased_at: str
    document: str = ""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Tombstone:
        """From a row of a file.

        Raises:
            KeyError, TypeError: It is none.
        """
        return cls(**{**record, "contents": tuple(record["contents"])})


@dataclass(frozen=True, slots=True)
class Erased:
    """All tombstones of a lake.

    Attributes:
        released: Erasures whose tombstones stand no more, wherever such a one turns up again: their ids.
    """

    tombstones: tuple[Tombstone, ...] = ()
    released: frozenset[str] = frozenset()
    places: frozenset[str] = field(init=False, repr=False, compare=False)
    contents: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", frozenset(each.place for each in self.tombstones))
        refused = (hashed for each in self.tombstones if each.by_content for hashed in each.contents)
        object.__setattr__(self, "contents", frozenset(refused))

    def __bool__(self) -> bool:
        return bool(self.tombstones)

    def plus(self, more: Iterable[Tombstone], released: Iterable[str] = ()) -> Erased:
        """With further ones, less what was released; one of the same place and erasure is there once."""
        known = {(each.erasure_id, each.place): each for each in (*self.tombstones, *more)}
        ended = self.released | frozenset(released)
        return Erased(tuple(each for each in known.values() if each.erasure_id not in ended), ended)

    def encoded(self) -> bytes:
        """The file's content."""
        record = {
            "format": _FORMAT,
            "tombstones": [asdict(each) for each in self.tombstones],
            "released": sorted(self.released),
        }
        return (json.dumps(record, indent=1) + "\n").encode()


def read_erased(root: str) -> Erased:
    """Tombstones of a lake in a folder; of one in an object store: `stores/erasures.py`."""
    return erased_of(
        root,
        lambda name: Path(root, name).read_bytes(),
        lambda: sorted(f"{CERTIFICATES}/{path.name}" for path in Path(root, CERTIFICATES).glob("*.json")),
    )


def erased_of(root: str, read: Callable[[str], bytes], certificates: Callable[[], Iterable[str]]) -> Erased:
    """Tombstones of a lake. Where their file is gone, they are those of the certificates.

    Args:
        read: The content of a file by its name in the lake; raises FileNotFoundError where there is none.
        certificates: Names of the certificates.

    Raises:
        LakeDamaged: The file is there and cannot be understood: to go on would bring back what was erased.
    """
    path = f"{root}/{ERASED_FILE}"
    try:
        record = json.loads(read(ERASED_FILE))
        rows = [Tombstone.of(each) for each in record["tombstones"]]
        return Erased().plus(rows, record.get("released", ()))
    except FileNotFoundError:
        return _certified(root, read, certificates())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise LakeDamaged(
            f"{path} cannot be read ({type(error).__name__}), and it says which documents were erased: nothing was "
            f"read from any source, since they would come back. Move it away, and it is made anew from the "
            f"certificates in {root}/{CERTIFICATES}; what has no certificate there has to be erased again.",
            table=ERASED_FILE,
        ) from error


def _certified(root: str, read: Callable[[str], bytes], certificates: Iterable[str]) -> Erased:
    """What the certificates of a lake say."""
    erased = Erased()
    for name in certificates:
        try:
            record = json.loads(read(name))
            rows = [Tombstone.of(each) for each in record["tombstones"]]
            erased = erased.plus(rows, [record["erasure_id"]] if record.get(RELEASED_AT) else [])
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise LakeDamaged(
                f"{root}/{ERASED_FILE} is gone, and the certificate {root}/{name} cannot be read "
                f"({type(error).__name__}), so which documents were erased cannot be told: nothing was read from any "
                f"source, since they would come back. Put back a copy of either; or move this one away, and erase its "
                f"documents again.",
                table=ERASED_FILE,
            ) from error
    return erased


@dataclass(frozen=True, slots=True)
class Erasure:
    """The plan of an erasure, kept in the lake from its first moment until it is done.

    Attributes:
        documents: document_id in bronze, by source.
        derived: document_id in silver and in the index of what was made of them.
        needles: Pieces of bytes, text, titles and addresses that are in no other document: what is searched for.
        shared: document_id of others that hold the same bytes, which stay.
        principals: Whose remarks and memberships go too.
        blobs: Ids that git gives the bytes.
        texts, wordings: text_hash of chunks and content_hash of documents that no other one has.
    """

    erasure_id: str
    reason: str
    erased_by: str
    began_at: str
    documents: Mapping[str, tuple[str, ...]]
    derived: tuple[str, ...]
    uris: tuple[str, ...]
    tombstones: tuple[Tombstone, ...]
    needles: tuple[bytes, ...]
    shared: tuple[str, ...]
    principals: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    wordings: tuple[str, ...] = ()

    @property
    def parts(self) -> int:
        """How many further documents were made of them, as of archives: what is erased is the whole."""
        return len(set(self.derived).difference(*self.documents.values()))

    def encoded(self) -> bytes:
        """The file's content; what it searches for does not stand in it as it is."""
        record: dict[str, Any] = asdict(self) | {"format": _FORMAT}
        record["needles"] = [base64.b64encode(each).decode() for each in self.needles]
        record["uris"] = [base64.b64encode(each.encode("utf-8", "surrogatepass")).decode() for each in self.uris]
        return json.dumps(record).encode()

    @classmethod
    def of(cls, content: bytes) -> Erasure:
        """From the file's content.

        Raises:
            ValueError, KeyError, TypeError: It is none.
        """
        record = json.loads(content)
        if record.pop("format") != _FORMAT:
            raise ValueError("another format")
        # Earlier programs noted less, and one principal.
        earlier = record.pop("principal", "")
        record.setdefault("principals", [earlier] if earlier else [])
        return cls(
            **record
            | {
                "documents": {name: tuple(ids) for name, ids in record["documents"].items()},
                "derived": tuple(record["derived"]),
                "uris": tuple(base64.b64decode(each).decode("utf-8", "surrogatepass") for each in record["uris"]),
                "tombstones": tuple(Tombstone.of(each) for each in record["tombstones"]),
                "needles": tuple(base64.b64decode(each) for each in record["needles"]),
                **{
                    name: tuple(record.get(name, ())) for name in ("shared", "principals", "blobs", "texts", "wordings")
                },
            }
        )


def read_pending(root: str) -> Erasure | None:
    """The erasure of a lake in a folder that was begun and is not done; of one in an object store:
    `stores/erasures.py`.
    """
    return pending_of(root, lambda name: Path(root, name).read_bytes())


def pending_of(root: str, read: Callable[[str], bytes]) -> Erasure | None:
    """The erasure that was begun and is not done; None: there is none.

    Raises:
        LakeDamaged: There is one, and its plan cannot be read.
    """
    path = f"{root}/{PENDING_FILE}"
    try:
        return Erasure.of(read(PENDING_FILE))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise LakeDamaged(
            f"{path}, the plan of an erasure that was begun, cannot be read ({type(error).__name__}). Remove it, then "
            f"erase the document again: rag-pipeline erase",
            table=PENDING_FILE,
        ) from error
