"""How pictures are read, as one value that is part of the recipe of what it concerns.

Belongs here: the engine's release, its models by their hashes, bounds, and whether they are installed.
Does not belong here: running the engine (`engine.py`). Nothing here imports it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rag_pipeline.errors import ExtraMissing

# Raised whenever the same picture may give another text.
VERSION = "1"
ENGINE = "rapidocr"
ENGINE_VERSION = "3.10.0"
INSTALL = "pip install 'rag-pipeline[ocr]'"
MODELS = {
    "PP-OCRv6_det_small.onnx": "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    "PP-OCRv6_rec_small.onnx": "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
    "ch_ppocr_mobile_v2.0_cls_mobile.onnx": "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
}
"""SHA-256 of each model, by the name of its file in the wheel."""

# In stored metadata: text that was read, pages or files that wait for it, and a list that was cut where it could name
# more of them.
CONCERNED = r'"ocr": "|"pages_needing_ocr|needs_ocr|"unread_(?:attachments|members)": "[^"]{1900}'
# Pictures beside text, which only `always` reads.
PICTURED = r'"pictures_count": "'
# Bits of what an object has to do with reading.
LACKS_TEXT, HAS_PICTURES = 1, 2
EITHER = LACKS_TEXT | HAS_PICTURES


@dataclass(frozen=True, slots=True)
class OcrOptions:
    """How pictures of text are read.

    Attributes:
        max_ocr_pages: Pages that are read of one object, all files within it together.
        page_seconds: Processor time of one page.
        reads_all: Read pictures that stand beside text, too, and not only where text is missing.
    """

    max_ocr_pages: int = 200
    page_seconds: int = 30
    reads_all: bool = False

    def recipe(self, concern: int) -> str:
        """All that decides what reading gives of an object of this concern, empty where it is not read; time is no
        part of it."""
        is_always = self.reads_all and bool(concern & HAS_PICTURES)
        if not is_always and not concern & LACKS_TEXT:
            return ""
        models = hashlib.sha256(repr(sorted(MODELS.items())).encode()).hexdigest()[:12]
        recipe = f"ocr/{VERSION} {ENGINE}/{ENGINE_VERSION} {models} {self.max_ocr_pages}"
        return f"{recipe} always" if is_always else recipe


def concerns(metadata: Iterable[str]) -> int:
    """What reading pictures has to do with what was parsed: `LACKS_TEXT`, `HAS_PICTURES`, both or, as 0, neither.

    Args:
        metadata: Of all documents of one object, as JSON.
    """
    found = 0
    for each in metadata:
        found |= LACKS_TEXT if re.search(CONCERNED, each) else 0
        found |= HAS_PICTURES if re.search(PICTURED, each) else 0
    return found


def require_engine() -> None:
    """Refuse to begin where pictures are to be read and the engine is not there as it was pinned.

    Raises:
        ExtraMissing: It is not installed, in another release, or with other models.
    """
    wanted = "`ocr` is on, which needs"
    try:
        installed = version(ENGINE)
    except PackageNotFoundError:
        raise ExtraMissing(
            f"{wanted} the package {ENGINE}, which is not installed: {INSTALL}, or set ocr to off"
        ) from None
    if installed != ENGINE_VERSION:
        raise ExtraMissing(
            f"{wanted} {ENGINE} {ENGINE_VERSION}, and {installed} is installed, which may read other words: {INSTALL}"
        )
    changed = [name for name, known in MODELS.items() if _hash(models_folder() / name) != known]
    if changed:
        raise ExtraMissing(
            f"{wanted} the models of {ENGINE} {ENGINE_VERSION}, and {changed[0]} is another file: "
            f"pip install --force-reinstall --no-deps {ENGINE}=={ENGINE_VERSION}"
        )


def models_folder() -> Path:
    """Where the wheel has put its models."""
    found = importlib.util.find_spec(ENGINE)
    places = (found.submodule_search_locations if found else None) or [""]
    return Path(places[0]) / "models"


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
