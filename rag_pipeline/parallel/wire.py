"""The values that a worker sends back, as plain data: nothing that is read can run code.

Belongs here: which values may be sent, and how each is written as JSON and made again.
Does not belong here: frames and pipes (`frames.py`, `process.py`).

A worker has read a stranger's document; a parser that its input took over would send what it likes. So its answers are
numbers, texts and lists, and only the few classes named here are made of them. An array begins with what it is.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import fields
from itertools import chain
from operator import attrgetter
from typing import Any

from rag_pipeline.contracts.documents import Block, Chunk, ParsedDocument, Picture
from rag_pipeline.errors import DocumentError

_JSON = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
# Half a surrogate pair is in some documents, and is no UTF-8.
_SURROGATES = "surrogatepass"
_PLAIN = frozenset({str, int, float, bool, type(None)})


def _names(kind: type) -> list[str]:
    return [field.name for field in fields(kind)]


_BLOCK = attrgetter(*_names(Block))
_CHUNK = attrgetter(*_names(Chunk))
_DOCUMENT = attrgetter(*_names(ParsedDocument))
_PICTURE = attrgetter(*_names(Picture))
_BLOCKS_AT = _names(ParsedDocument).index("blocks")
_PICTURES_AT = _names(ParsedDocument).index("pictures")
_SCALARS = frozenset({str, int, bool, type(None)})
_BLOCK_FIELDS = len(_names(Block))


def dump(value: Any) -> bytes:
    """A value as bytes.

    Raises:
        TypeError: It is, or holds, something that cannot be sent.
    """
    return _JSON(_sent(value)).encode("utf-8", _SURROGATES)


def load(raw: bytes | bytearray | memoryview) -> Any:
    """The value again.

    Raises:
        ValueError: The bytes are not what `dump` writes.
    """
    try:
        return _received(json.loads(str(raw, "utf-8", _SURROGATES)))
    except (TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(f"an answer of a worker cannot be read: {error}") from error


def _sent(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    send = _SEND.get(kind)
    if send is not None:
        return send(value)
    if isinstance(value, DocumentError):
        return ["error", value.code, value.message, _sent(value.facts)]
    for plain in (str, int, float):
        if isinstance(value, plain):
            return plain(value)
    raise TypeError(f"a worker cannot send a {kind.__name__}")


def _send_list(value: list[Any]) -> list[Any]:
    if value and all(type(item) is Chunk for item in value):
        return ["chunks", *map(_CHUNK, value)]
    return ["list", *map(_sent, value)]


def _send_document(document: ParsedDocument) -> list[Any]:
    values = list(_DOCUMENT(document))
    values[_BLOCKS_AT] = list(map(_BLOCK, document.blocks))
    values[_PICTURES_AT] = list(map(_PICTURE, document.pictures))
    return ["document", *values]


_SEND: dict[type, Callable[[Any], Any]] = {
    list: _send_list,
    tuple: lambda value: ["tuple", *map(_sent, value)],
    dict: lambda value: ["dict", *([_sent(key), _sent(item)] for key, item in value.items())],
    bytes: lambda value: ["bytes", base64.b64encode(value).decode()],
    ParsedDocument: _send_document,
    Block: lambda value: ["block", *_BLOCK(value)],
    Chunk: lambda value: ["chunk", _CHUNK(value)],
}


def _received(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    return _RECEIVE[value[0]](value[1:])


def _receive_document(values: list[Any]) -> ParsedDocument:
    text, rows, title, author, language, metadata, quality, part, hashes, shown = values
    plain = chain((text, part), chain.from_iterable(rows), chain.from_iterable(shown))
    if not set(map(type, plain)) <= _SCALARS or not isinstance(text, str):
        raise TypeError("a document holds something else than texts and numbers")
    # An ordinary loop over rows of a checked width: this is most of the work.
    blocks = tuple([Block(*row) for row in rows])
    pictures = tuple([Picture(*row) for row in shown])
    facts = dict(metadata), dict(quality), part, tuple(hashes), pictures
    return ParsedDocument(text, blocks, title, author, language, *facts)


def _receive_chunks(rows: list[Any]) -> list[Chunk]:
    return [Chunk(start, end, tuple(path), *rest) for start, end, path, *rest in rows]


def _receive_error(values: list[Any]) -> DocumentError:
    code, message, facts = values
    return _errors()[code](message, **_received(facts))


def _errors() -> dict[str, type[DocumentError]]:
    kinds: list[type[DocumentError]] = [DocumentError]
    for kind in kinds:
        # A list that grows while it is walked: subclasses of subclasses, too.
        kinds.extend(kind.__subclasses__())
    return {kind.code: kind for kind in kinds}


_RECEIVE: dict[str, Callable[[list[Any]], Any]] = {
    "list": lambda values: [_received(value) for value in values],
    "tuple": lambda values: tuple([_received(value) for value in values]),
    "dict": lambda values: {_received(key): _received(value) for key, value in values},
    "bytes": lambda values: base64.b64decode(values[0], validate=True),
    "document": _receive_document,
    "block": lambda values: Block(*values),
    "chunk": lambda values: _receive_chunks(values)[0],
    "chunks": _receive_chunks,
    "error": _receive_error,
}
