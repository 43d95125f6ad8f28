"""Bearer tokens: random, shown once, and kept as hashes in a file.

Belongs here: making, listing and withdrawing tokens, and who has the one that was sent.
Does not belong here: requests (`identity.py`), the command (`cli/serve.py`).

A token has 256 random bits, so its SHA-256 tells nothing of it and no slow hash is needed: one that takes a tenth of a
second would be a way to take the server down.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from filelock import FileLock

from rag_pipeline.contracts.names import principal
from rag_pipeline.errors import SettingsError, UsageError

log = logging.getLogger(__name__)

PREFIX = "ragp_"
# Long enough that nobody has two by chance, and short enough to be typed.
_ID_CHARS = 8
_RANDOM_BYTES = 32
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token.

    Attributes:
        token_id: Begins its hash; names it for people.
        hash: SHA-256 of the token, hexadecimal.
        name: Whom it is for.
        groups: Their groups.
    """

    token_id: str
    hash: str
    name: str
    groups: tuple[str, ...]
    created_at: str
    expires_at: str | None = None

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and datetime.fromisoformat(self.expires_at) <= now


def hash_of(token: str) -> str:
    """The hash under which a token is kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def add_token(path: Path, name: str, groups: Sequence[str], expires_at: datetime | None = None) -> tuple[str, Token]:
    """Make a token and keep its hash; the token itself is returned here and never again.

    Raises:
        UsageError: A name cannot be a principal.
        SettingsError: The file is there and cannot be read.
    """
    try:
        own, others = principal(name), tuple(sorted({principal(group) for group in groups}))
    except ValueError as error:
        raise UsageError(f"a token is for a name and groups as documents list them; {error}") from error
    token = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    hashed = hash_of(token)
    expires = None if expires_at is None else expires_at.astimezone(UTC).isoformat()
    kept = Token(hashed[:_ID_CHARS], hashed, own, others, datetime.now(UTC).isoformat(), expires)
    with _changing(path):
        _write(path, [*read_tokens(path), kept])
    return token, kept


def revoke_token(path: Path, token_id: str) -> Token:
    """Take a token away; servers notice with the next request.

    Raises:
        UsageError: There is none of that id.
        SettingsError: The file cannot be read.
    """
    with _changing(path):
        tokens = read_tokens(path)
        gone = [token for token in tokens if token.token_id == token_id]
        if not gone:
            raise UsageError(f"there is no token {token_id!r} in {path}; rag-pipeline tokens list shows them")
        _write(path, [token for token in tokens if token.token_id != token_id])
    return gone[0]


def read_tokens(path: Path) -> list[Token]:
    """Every token of the file; none where there is no file.

    Raises:
        SettingsError: It cannot be read.
    """
    try:
        return _parsed(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SettingsError(
            f"the file of tokens {path} cannot be read ({type(error).__name__}); restore it, or remove it and make "
            f"tokens anew: rag-pipeline tokens add NAME"
        ) from error


class TokenFile:
    """Who has a token, as the file says it now; it is read again when it changes. Many threads may ask.

    While the file cannot be understood, what it said before counts, but where it is gone nobody has a token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, ...] | None = None
        self._by_hash: dict[str, Token] = {}
        self._lock = Lock()

    def find(self, token: str) -> Token | None:
        """The token that was sent, if it is known and not expired."""
        sent = hash_of(token)
        with self._lock:
            self._look()
            kept = self._by_hash.get(sent)
        if kept is None or not hmac.compare_digest(kept.hash.encode(), sent.encode()):
            return None
        return None if kept.is_expired(datetime.now(UTC)) else kept

    def _look(self) -> None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._by_hash = None, {}
            return
        except OSError:
            log.exception("the file of tokens %s cannot be looked at; what it said before counts", self._path)
            return
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        if stamp == self._stamp:
            return
        if found.st_mode & 0o077:
            log.warning(
                "the file of tokens %s can be read by others than its owner: chmod 600 %s", self._path, self._path
            )
        try:
            self._by_hash = {token.hash: token for token in read_tokens(self._path)}
        except SettingsError as error:
            log.warning("%s", error.message)
            if isinstance(error.__cause__, OSError):
                # Not read at all, for want of rights or of file handles: when that is over, the file looks as it does.
                return
        self._stamp = stamp


def _parsed(content: bytes) -> list[Token]:
    record = json.loads(content)
    if record["format"] != _FORMAT:
        raise ValueError("another format")
    return [_token(each) for each in record["tokens"]]


def _token(record: dict[str, Any]) -> Token:
    token = Token(**record | {"groups": tuple(map(principal, record["groups"]))})
    if token.expires_at is not None and datetime.fromisoformat(token.expires_at).tzinfo is None:
        raise ValueError("a time without a zone")
    if not isinstance(token.hash, str) or principal(token.name) != token.name:
        raise ValueError("no hash, or a name that is none")
    return token


def _changing(path: Path) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{path}.lock", mode=0o600)


def _write(path: Path, tokens: Iterable[Token]) -> None:
    """Replace the file as a whole; nobody but its owner may read it."""
    text = json.dumps({"format": _FORMAT, "tokens": [asdict(token) for token in tokens]}, indent=1)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
