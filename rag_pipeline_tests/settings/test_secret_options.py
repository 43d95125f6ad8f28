"""What options hold to open a store is shown by no error, however the store's client words it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_pipeline import shown as showing
from rag_pipeline.errors import SettingsError, StoreError
from rag_pipeline.settings import load_pipeline

SETTINGS = """\
lake: s3://bucket/prefix
lake_options: {aws_region: eu-central-1, aws_secret_access_key: $SECRET, aws_token: $TOKEN, account: $WHO}
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
    pipeline = load_pipeline(
        tmp_path / "pipeline.yaml", {"TOKEN": "from-a-variable", "WHO": "anna-lind", "SECRET": "meant-for-nobody"}
    )
    assert pipeline.lake_options["aws_secret_access_key"] == "meant-for-nobody"
    assert pipeline.source_spec("docs").storage_options["password"] == "of-the-source"
    said = StoreError("eu-central-1 files.example.org meant-for-nobody from-a-variable anna-lind of-the-source").message
    assert said == "eu-central-1 files.example.org *** *** *** ***"


@pytest.mark.parametrize(
    "location", ["ftp://amy:b0at 'at sea@host/docs", "s3:/key:b0at 'at sea@bucket", "s3:key:b0at 'at sea@b"]
)
def test_a_password_in_a_location_is_in_no_message_however_it_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    monkeypatch.setattr(showing, "_secrets", set())
    text = SETTINGS.replace("location: docs", f'location: "{location}"').replace("$WHO", "amy")
    (tmp_path / "pipeline.yaml").write_text(text, "utf-8")
    pipeline = load_pipeline(tmp_path / "pipeline.yaml", {})
    said = StoreError(f"cannot open {location!r}, that is {pipeline.location('docs')}").message
    assert "sea" not in said
    (tmp_path / "pipeline.yaml").write_text(text + "unknown: 1\n", "utf-8")
    with pytest.raises(SettingsError) as refused:
        load_pipeline(tmp_path / "pipeline.yaml", {})
    assert "sea" not in str(refused.value)


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("aws_secret_access_key: written-in-full", "lake_options.aws_secret_access_key"),
        ("AWS_ACCESS_KEY_ID: written-in-full", "lake_options.AWS_ACCESS_KEY_ID"),
        ("google_service_account_key: written-in-full", "lake_options.google_service_account_key"),
        ("azure_storage_sas_token: written-in-full", "lake_options.azure_storage_sas_token"),
        ("azure_storage_connection_string: 'AccountKey=written-in-full'", "azure_storage_connection_string"),
        ("aws_session_token: $written-in-full", "lake_options.aws_session_token"),
        ("proxy_url: 'http://amy:written-in-full@proxy.example:8080'", "lake_options.proxy_url"),
    ],
)
def test_credentials_of_the_lake_are_not_written_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, named: str
) -> None:
    monkeypatch.setattr(showing, "_secrets", set())
    (tmp_path / "pipeline.yaml").write_text(_with_options(option), "utf-8")
    with pytest.raises(SettingsError) as refused:
        load_pipeline(tmp_path / "pipeline.yaml", {})
    said = str(refused.value)
    assert named in said
    assert "AWS_ACCESS_KEY_ID" in said, "where else they may stand"
    assert "written-in-full" not in said


def test_an_address_of_a_lake_holds_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "_secrets", set())
    text = _with_options("aws_region: eu").replace("s3://bucket", "s3://key:written-in-full@bucket")
    (tmp_path / "pipeline.yaml").write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=r"lake: an address holds no credentials") as refused:
        load_pipeline(tmp_path / "pipeline.yaml", {})
    assert "written-in-full" not in str(refused.value)


@pytest.mark.parametrize(
    "option",
    [
        "aws_secret_access_key: $SECRET",
        "aws_skip_signature: 'true'",
        "azure_authority_host: https://login.example",
        "aws_sse_kms_key_id: key-of-the-service",
        "aws_web_identity_token_file: /var/run/token",
        "google_service_account_path: key.json",
        "proxy_url: http://proxy.example:8080",
    ],
)
def test_what_opens_nothing_may_stand_in_the_file(tmp_path: Path, option: str) -> None:
    (tmp_path / "pipeline.yaml").write_text(_with_options(option), "utf-8")
    assert load_pipeline(tmp_path / "pipeline.yaml", {"SECRET": "of-the-environment"}).lake_options


def test_what_the_environment_says_of_an_option_is_no_part_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(_with_options("aws_secret_access_key: $SECRET"), "utf-8")
    given = {"RAG_PIPELINE__LAKE_OPTIONS__AWS_SECRET_ACCESS_KEY": "of-the-environment"}
    assert load_pipeline(tmp_path / "pipeline.yaml", given).lake_options == {
        "aws_secret_access_key": "of-the-environment"
    }


def _with_options(option: str) -> str:
    return "\n".join(
        f"lake_options: {{{option}}}" if line.startswith("lake_options") else line for line in SETTINGS.splitlines()
    )
