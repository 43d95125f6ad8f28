"""Pictures over HTTP: what may be asked, what comes back, and bytes as a file that no browser runs.

Belongs here: the models that OpenAPI shows of pictures. Does not belong here: who may see them
(`retrieval/pictures.py`).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from rag_pipeline.parsing.picture_heads import UNKNOWN
from rag_pipeline.parsing.pictures import ending_of
from rag_pipeline.parsing.registry import PICTURES
from rag_pipeline.serving.questions import Question, Value

# As addresses are, and what comes behind one.
MOST_ADDRESS_CHARS = 4_000


class PicturesQuestion(Question):
    """A document whose pictures are asked for."""

    document: Value = Field(examples=["reports/dues.pdf"])
    """Its id or its whole address, as in a hit."""


class PictureQuestion(Question):
    """A picture that is asked for."""

    address: str = Field(min_length=1, max_length=MOST_ADDRESS_CHARS, examples=["reports/dues.pdf!/pictures/3"])
    """As `/v1/pictures` says it."""


class DocumentPicture(BaseModel):
    """A picture within a document."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    address: str
    """Under which `/v1/picture` gives it."""
    document_id: str
    uri: str
    number: int
    """From 1, in reading order."""
    caption: str | None
    """What is said of it."""
    section: str | None
    """The heading that it stands below."""
    page: int | None
    read_text: str
    """What was read from it, where `ocr` is on."""
    media_type: str
    width: int
    """In pixels; 0 where that is not told."""
    height: int
    size_bytes: int
    """As the document's file holds it."""
    content_hash: str


class PicturesAnswer(BaseModel):
    """The pictures of a document."""

    pictures: list[DocumentPicture]


def as_file(content: bytes, media_type: str, name: str) -> Response:
    """A file that somebody else wrote: it is saved, and no browser runs what may stand in it."""
    headers = {
        "content-disposition": f'attachment; filename="{name}{ending_of(media_type)}"',
        "x-content-type-options": "nosniff",
    }
    return Response(content, headers=headers, media_type=media_type if media_type in PICTURES else UNKNOWN)
