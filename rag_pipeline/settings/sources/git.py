"""Settings of the kind `git`.

Belongs here: what a repository has.
Does not belong here: what every kind has (`common.py`).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from rag_pipeline.settings.sources.common import WithFiles
from rag_pipeline.settings.types import Place, Secret, Text

_SCHEMES = ("file", "http", "https", "ssh")
_SCP_LIKE = re.compile(r"(?:[\w.-]+@)?[\w.-]+:(?!//)(?!\\)\S+")
_FIELDS = frozenset({"ref", "commit", "path", "line"})


def _repository(value: str) -> str:
    scheme, mark, rest = value.partition("://")
    if mark and scheme not in _SCHEMES:
        raise ValueError(f"want a folder or an address that begins with {', '.join(f'{s}://' for s in _SCHEMES)}")
    if not mark and _SCP_LIKE.fullmatch(value):
        host, _, path = value.partition(":")
        raise ValueError(f"want an address: write ssh://{host}/{path}")
    if mark and ":" in rest.partition("/")[0].rpartition("@")[0]:
        raise ValueError("a password stands in an environment variable: name it in `password`, like $TOKEN")
    return value


class GitSettings(WithFiles):
    """Files of a repository at one ref, each a document; becomes the asset bronze/<name>."""

    kind: Literal["git"]
    """Kind of source: a git repository. Nothing is checked out, and no `git` program is needed."""
    location: Annotated[Place, AfterValidator(_repository)]
    """Folder of a repository, or an address that begins with `file://`, `http://`, `https://` or `ssh://`."""
    ref: Annotated[Text, Field(min_length=1)] | None = None
    """Branch, tag or commit, like `main`, `v1.2` or `refs/heads/main`; none: the default branch."""
    history: Literal["full", "none"] = "full"
    """With `full` each file has the time and author of the last commit that touched it; with `none` neither, and only
    the newest commit of a remote repository is fetched."""
    permissions_from: Literal["settings", "codeowners"] = "settings"
    """With `codeowners` the owners of a file in the repository's CODEOWNERS may read it (`@acme/docs` is the principal
    `acme/docs`), where neither a sidecar nor front matter says who; what no line matches is left to the settings."""
    url_template: Text | None = None
    """Address of a file for people, like `https://github.com/acme/docs/blob/{ref}/{path}`; `{commit}` is the last that
    touched the file, `{line}` is 1. None: the location and the path."""
    username: Text | None = None
    """For http and https; with a token it is often `git` or `x-access-token`."""
    password: Secret | None = None
    """Password or token, as the name of an environment variable: `$TOKEN`."""

    @model_validator(mode="after")
    def _known_fields(self) -> GitSettings:
        unknown = set(re.findall(r"\{(\w*)\}", self.url_template or "")) - _FIELDS
        if unknown:
            raise ValueError(
                f"url_template: there is no {{{min(unknown)}}}; want {', '.join(sorted(_FIELDS))} in braces"
            )
        if self.username is not None and self.password is None:
            raise ValueError("username: password is needed too")
        return self
