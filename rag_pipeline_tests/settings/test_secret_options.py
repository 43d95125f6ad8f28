"""What options hold to open a store is shown by no error, however the store's client words it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_pipeline import shown as showing
from rag_pipeline.errors import SettingsError, StoreError
from rag_pipeline.settings import load_pipeline

SETTINGS = """\
lake: s3://bucket/prefix
lake_options: {aws_region: eu-central-1, aws_secret_access_key: written-in-full, aws_token: $TOKEN, account: $WHO}
sources:
  docs:
    location: docs
    storage_options: {password: of-the-source, host: files.example.org}
    allowed_principals: [public]
embedding_models: {small: {kind: hashing, model: hashing, dimension: 64}}
serve: small
"""


def test_keys_and_what_comes_from_variables_are_kept_secret_and_plain_facts_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "_secrets", set())
    (tmp_path / "docs").mkdir()
    (tmp_path / "pipeline.yaml").write_text(SETTINGS, "utf-8")
    pipeline = load_pipeline(tmp_path / "pipeline.yaml", {"TOKEN": "from-a-variable", "WHO": "anna-lind"})
    assert pipeline.lake_options["aws_secret_access_key"] == "written-in-full"
    assert pipeline.source_spec("docs").storage_options["password"] == "of-the-source"
    said = StoreError("eu-central-1 files.example.org written-in-full from-a-variable anna-lind of-the-source").message
    assert said == "eu-central-1 files.example.org *** *** *** ***"


@pytest.mark.parametrize(
    "location", ["ftp://amy:b0at 'at sea@host/docs", "s3:/key:b0at 'at sea@bucket", "s3:key:b0at 'at sea@b"]
)
def test_a_password_in_a_location_is_in_no_message_however_it_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    monkeypatch.setattr(showing, "_secrets", set())
    text = (
        SETTINGS.replace("location: docs", f'location: "{location}"').replace("$TOKEN", "plain").replace("$WHO", "amy")
    )
    (tmp_path / "pipeline.yaml").write_text(text, "utf-8")
    pipeline = load_pipeline(tmp_path / "pipeline.yaml", {})
    said = StoreError(f"cannot open {location!r}, that is {pipeline.location('docs')}").message
    assert "sea" not in said
    (tmp_path / "pipeline.yaml").write_text(text + "unknown: 1\n", "utf-8")
    with pytest.raises(SettingsError) as refused:
        load_pipeline(tmp_path / "pipeline.yaml", {})
    assert "sea" not in str(refused.value)
