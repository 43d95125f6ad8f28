"""The files of one commit: which of them are documents, and what is declared of each.

Belongs here: walking a tree by the source's patterns, sidecars, links, owners, and what must not be read.
Does not belong here: which commit it is (`repository.py`), when files were touched (`history.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import quote

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.sources import DeclaredMetadata, Idle, SourceObject, SourceSpec
from rag_pipeline.errors import DocumentError
from rag_pipeline.sources import reading
from rag_pipeline.sources.addresses import address_of, uri_of
from rag_pipeline.sources.git.memory import Facts
from rag_pipeline.sources.git.objects import FOLDER, LINK, SUBMODULE, TYPE, Entry, Trees
from rag_pipeline.sources.git.owners import MAX_BYTES, PLACES, Owners
from rag_pipeline.sources.git.repository import Damaged, Repository
from rag_pipeline.sources.selection import Selection, Sidecars
from rag_pipeline.transforms.metadata import MAX_SIDECAR_BYTES

# What stands for a file whose bytes are on a server for large files; such a text is shorter than this.
_POINTER, _MAX_POINTER_BYTES = b"version https://git-lfs.github.com/spec/v1\n", 1_024
# What may be unpacked on the way to a file: git makes no differences of larger ones (`core.bigFileThreshold`).
_MOST_UNPACKED_BYTES = 512 * 2**20
_FIELD = re.compile(r"\{(ref|commit|path|line)\}")
_NO_OWNERS = ("", "there is no CODEOWNERS file that can be read, so nobody may read anything by it")

# By path: the commit that touched it last, its time in seconds since 1970, its author.
Touched = Mapping[str, tuple[str, int, str]]


@dataclass(frozen=True, slots=True)
class _File:
    """A document as the tree has it.

    Attributes:
        blob: Empty for what has no bytes here.
        target: Where a link leads to, with what is declared there.
    """

    path: bytes
    address: str
    mode: int
    blob: bytes
    size_bytes: int | None = None
    declared: DeclaredMetadata | None = None
    problem: DocumentError | None = None
    target: str = ""


class Lister:
    """The documents of one commit.

    Args:
        known: What blobs declare, as far as it is known.

    Attributes:
        paths: Of the documents.
        facts: What the blobs of the documents declare.
    """

    def __init__(self, spec: SourceSpec, repository: Repository, trees: Trees, known: Mapping[str, Facts]) -> None:
        self._spec = spec
        self._repository = repository
        self._trees = trees
        self._known = known
        self._root = b""
        self._files: list[_File] = []
        self._orphans: list[str] = []
        self._beside: dict[bytes, Sidecars] = {}
        self._selection = Selection(spec)
        self._owners: Owners | None = None
        self._owner_problems: list[tuple[str, str]] = []
        self.facts: dict[str, Facts] = {}
        self.paths: set[bytes] = set()

    def walk(self, tree: bytes) -> None:
        """Find the documents of a tree.

        Raises:
            Damaged, KeyError: Objects are not in the repository.
        """
        self._root = tree
        self._selection.watched.start()
        if self._spec.fields["permissions_from"] == "codeowners":
            self._read_owners()
        folders = [(b"", tree)]
        while folders:
            prefix, at = folders.pop()
            beside = self._sidecars_in(at)
            self._orphans += [address_of(_text(prefix) + name) for name in beside.orphans]
            for name, entry in self._trees.entries(at).items():
                path = prefix + name
                if _is_no_name(name):
                    self._refuse(path, entry, reading.unreadable("its name leads out of its folder"))
                elif entry[0] & TYPE == FOLDER:
                    if self._selection.enters(address_of(_text(path))):
                        folders.append((path + b"/", entry[1]))
                elif _text(name) not in beside:
                    self._take(path, entry, at)
        self.paths = {file.path for file in self._files}

    def objects(self, head: str, ref: str, touched: Touched) -> dict[str, tuple[SourceObject, bytes]]:
        """The documents by address, sorted, each with its blob."""
        made = [(self._object(file, head, ref, touched.get(_text(file.path))), file.blob) for file in self._files]
        return {item.address: (item, blob) for item, blob in sorted(made, key=lambda each: each[0].address)}

    def idle(self) -> Sequence[Idle]:
        """What had no effect, and lines of CODEOWNERS that are not understood."""
        return [
            *self._selection.watched.idle(),
            *(Idle("sidecar", address) for address in sorted(self._orphans)),
            *(Idle("permissions_from", name or "codeowners", hint) for name, hint in self._owner_problems),
        ]

    def _take(self, path: bytes, entry: Entry, folder: bytes) -> None:
        address = address_of(_text(path))
        kind = entry[0] & TYPE
        if kind == SUBMODULE:
            if self._selection.enters(address):
                self._refuse(path, entry, reading.unreadable("it is a submodule: give its repository as a source"))
        elif kind == LINK:
            self._take_link(path, entry, folder)
        elif self._selection.takes(address):
            self._files.append(self._file(path, entry, folder))

    def _take_link(self, path: bytes, entry: Entry, folder: bytes) -> None:
        address = address_of(_text(path))
        is_path = max(self._repository.sizes(entry[1]) or (0, 0)) <= _MOST_UNPACKED_BYTES
        found = self._trees.target_of(self._root, path) if is_path else None
        if found is not None and found[1][0] & TYPE == FOLDER:
            # As in a folder of files, linked folders are not entered.
            return
        if not self._selection.takes(address):
            return
        if found is None or found[1][0] & TYPE == SUBMODULE or not self._may_be_linked(found[0]):
            self._refuse(path, entry, reading.leads_outside())
            return
        target_path, target = found
        of_target = self._file(target_path, target, self._folder_of(target_path))
        file = self._file(path, target, folder)
        problem = file.problem or of_target.problem
        if problem is not None or file.declared is None or of_target.declared is None:
            self._files.append(replace(file, problem=problem, mode=entry[0], target=of_target.address))
            return
        declared = reading.bounded_by_target(file.declared, of_target.address, of_target.declared)
        self._files.append(replace(file, declared=declared, mode=entry[0], target=of_target.address))

    def _may_be_linked(self, path: bytes) -> bool:
        return self._selection.may_be_linked(address_of(_text(path)))

    def _folder_of(self, path: bytes) -> bytes:
        tree = self._root
        for name in path.split(b"/")[:-1]:
            tree = self._trees.entries(tree)[name][1]
        return tree

    def _refuse(self, path: bytes, entry: Entry, problem: DocumentError) -> None:
        address = address_of(_text(path))
        if _is_no_name(path.rpartition(b"/")[2]):
            # As bytes, since nothing else of it can be an address.
            address = "unnamed " + "".join(f"%{byte:02X}" for byte in path)
        self._files.append(_File(path, address, entry[0], b"", problem=problem))

    def _file(self, path: bytes, entry: Entry, folder: bytes) -> _File:
        address = address_of(_text(path))
        file = _File(path, address, entry[0], entry[1])
        own = self._sidecars_in(folder).of(_text(path.rpartition(b"/")[2]))
        if len(own) > 1:
            return replace(file, problem=reading.several_sidecars([address_of(name) for name in own]))
        sidecar = None
        if own:
            mode, sidecar = self._trees.entries(folder)[_bytes(own[0])]
            if mode & TYPE in (LINK, SUBMODULE):
                return replace(file, problem=reading.sidecar_unreadable("it is a link"))
        try:
            size, declared = self._facts(entry[1], sidecar, own[0].lower() if own else "")
        except DocumentError as error:
            return replace(file, problem=error)
        if size > self._spec.max_document_bytes:
            return replace(file, size_bytes=size, problem=reading.too_large(size, self._spec.max_document_bytes))
        said = DeclaredMetadata.from_json(declared)
        if self._owners is not None and said.allowed_principals is None:
            said = replace(said, allowed_principals=self._owners.of(_text(path)))
        return replace(file, size_bytes=size, declared=said)

    def _facts(self, blob: bytes, sidecar: bytes | None, sidecar_name: str) -> Facts:
        """What a blob and its sidecar declare.

        Raises:
            DocumentError: It must not be read, or its sidecar or front matter cannot be understood.
        """
        ending = sidecar_name.rpartition(".")[2]
        key = " ".join([blob.decode(), *([] if sidecar is None else [sidecar.decode(), ending])])
        known = self.facts.get(key) or self._known.get(key)
        limit = self._spec.max_document_bytes
        if known is None or (not known[1] and known[0] <= limit):
            size, largest = self._repository.sizes(blob) or (0, 0)
            if largest > max(limit, _MOST_UNPACKED_BYTES):
                raise reading.too_large(largest, limit)
            if size > limit:
                # It is refused by its size, and nothing of it is unpacked.
                self.facts[key] = size, ""
                return self.facts[key]
            raw = self._read(blob)
            if len(raw) < _MAX_POINTER_BYTES and raw.startswith(_POINTER):
                raise reading.unreadable("it is a pointer of Git LFS, and its bytes are not in the repository")
            held = None
            if sidecar is not None:
                if max(self._repository.sizes(sidecar) or (0, 0)) > _MOST_UNPACKED_BYTES:
                    raise reading.sidecar_unreadable(f"it is larger than {MAX_SIDECAR_BYTES} bytes")
                held = sidecar_name, self._read(sidecar)
                if len(held[1]) > MAX_SIDECAR_BYTES:
                    raise reading.sidecar_unreadable(f"it is larger than {MAX_SIDECAR_BYTES} bytes")
            # With another limit it is read, and says what it says.
            known = len(raw), "" if len(raw) > limit else reading.declared_by(raw, held, self._spec).to_json()
        self.facts[key] = known
        return known

    def _read(self, blob: bytes) -> bytes:
        try:
            return self._repository.read(blob)
        except KeyError:
            if self._repository.is_mirror:
                raise Damaged from None
            raise reading.unreadable("its bytes are not in this repository, as in a partial clone") from None

    def _sidecars_in(self, folder: bytes) -> Sidecars:
        if folder not in self._beside:
            kinds = {_text(name): mode & TYPE for name, (mode, _) in self._trees.entries(folder).items()}
            names = kinds if self._spec.use_sidecars else ()
            self._beside[folder] = Sidecars(names, lambda name: kinds[name] not in (FOLDER, SUBMODULE))
        return self._beside[folder]

    def _read_owners(self) -> None:
        self._owners = Owners("*")
        for place in PLACES:
            found = self._trees.find(self._root, place)
            if found is None or found[0] & TYPE in (LINK, SUBMODULE, FOLDER):
                continue
            if max(self._repository.sizes(found[1]) or (0, 0)) > _MOST_UNPACKED_BYTES:
                break
            raw = self._repository.read(found[1])
            if len(raw) <= MAX_BYTES:
                self._owners = Owners(raw.decode("utf-8", "replace"))
                where = place.decode()
                hint = "it is not understood, and nobody may read anything by the file"
                self._owner_problems = [(f"{where}, {line}", hint) for line in self._owners.problems]
                return
            break
        self._owner_problems = [_NO_OWNERS]

    def _object(self, file: _File, head: str, ref: str, touched: tuple[str, int, str] | None) -> SourceObject:
        declared, modified = file.declared, None
        if touched is not None:
            modified = _moment(touched[1])
            if declared is not None and declared.author is None:
                declared = replace(declared, author=touched[2] or None)
        return SourceObject(
            address=file.address,
            uri=self._uri(file, head if touched is None else touched[0], ref),
            size_bytes=file.size_bytes,
            modified_at=modified,
            stamp=self._stamp(file),
            problem=file.problem,
            declared=declared if file.problem is None else None,
        )

    def _stamp(self, file: _File) -> str:
        problem = file.problem.code if file.problem is not None else ""
        return digest("git", file.blob, f"{file.mode:o}", file.target, problem)[:32]

    def _uri(self, file: _File, commit: str, ref: str) -> str:
        template = self._spec.fields["url_template"]
        if template is None:
            return uri_of(self._spec, file.address)
        values = {"ref": quote(ref), "commit": commit, "path": quote(file.path), "line": "1"}
        return _FIELD.sub(lambda match: values[match[1]], str(template))


def _is_no_name(name: bytes) -> bool:
    return name in (b"", b".", b"..") or b"/" in name


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _moment(seconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
