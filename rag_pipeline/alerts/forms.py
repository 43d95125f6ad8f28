"""One message in the forms that receivers take: plain text, JSON, Slack's and Teams'.

Belongs here: words, escaping, bounds. What was found may hold anything, names of files among it.
Does not belong here: sending (`sinks.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from rag_pipeline.contracts.alerts import Finding, Message
from rag_pipeline.settings.alerts import AlertsSettings
from rag_pipeline.shown import bounded, masked, visible

# What a person reads of one message; all of it stands in the JSON, and in `rag-pipeline alerts list`.
MOST_FINDINGS = 12
MOST_TEXT_CHARS = 600
# Teams takes 28 KB, and counts more than what is sent.
MOST_CARD_BYTES = 26_000
_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True, slots=True)
class Links:
    """Where an asset, a run and the entry of the runbook are looked at; asset and run empty without `ui_url`."""

    asset: str
    run: str
    runbook: str


def links_of(finding: Finding, settings: AlertsSettings) -> Links:
    """The links of a finding."""
    ui = (settings.ui_url or "").rstrip("/")
    return Links(
        asset=f"{ui}/assets/{quote(finding.asset)}" if ui and finding.asset else "",
        run=f"{ui}/runs/{quote(finding.run_id)}" if ui and finding.run_id else "",
        runbook=f"{settings.runbook_url}#{finding.runbook}" if finding.runbook else settings.runbook_url,
    )


def subject(message: Message) -> str:
    """One line that says what happened."""
    first, count = message.findings[0], len(message.findings)
    word = "Resolved" if message.turn == "resolved" else first.severity.capitalize()
    more = f" (and {count - 1:,} more)" if count > 1 else ""
    return _line(f"[rag-pipeline] {word}: {first.title}{more}", 200)


def brief(message: Message) -> Message:
    """The message with what happened and the runbook alone, for a receiver that refuses the whole of it."""
    first, count = message.findings[0], len(message.findings)
    more = f" (and {count - 1:,} more)" if count > 1 else ""
    finding = replace(
        first,
        title=_line(first.title, 150) + more,
        means="",
        found="The receiver refused the details; all of it: rag-pipeline alerts list",
        next_step="",
        source="",
        owners=(),
        asset="",
        run_id="",
    )
    return replace(message, findings=(finding,))


def plain(message: Message, settings: AlertsSettings) -> str:
    """The message as text for people."""
    lines = [subject(message)]
    for finding in message.findings[:MOST_FINDINGS]:
        lines += ["", *(f"{name}: {text}" if name else text for name, text in _told(message, finding, settings))]
    return "\n".join([*lines, *_left_out(message)])


def as_json(message: Message, settings: AlertsSettings) -> dict[str, Any]:
    """The message for programs: everything, times as ISO 8601."""
    return {
        "id": message.id,
        "state": message.turn,
        "subject": subject(message),
        "at": _moment(message.at),
        "alerts": [
            {name: _clean(value) for name, value in asdict(finding).items() if name not in ("at", "is_bad", "lasts")}
            | {"at": _moment(finding.at), "links": asdict(links_of(finding, settings))}
            for finding in message.findings
        ],
    }


def slack(message: Message, settings: AlertsSettings) -> dict[str, Any]:
    """The message as Slack's incoming webhooks take it."""
    sign = ":white_check_mark:" if message.turn == "resolved" else ":rotating_light:"
    lines = [f"{sign} *{_slack(subject(message))}*"]
    for finding in message.findings[:MOST_FINDINGS]:
        links = links_of(finding, settings)
        lines.append("")
        lines += [
            f"*{name}:* {_slack(text)}" if name else f"*{_slack(text)}*" for name, text in _said(message, finding)
        ]
        named = (("asset", links.asset), ("run", links.run), ("runbook", links.runbook))
        lines.append(" · ".join(f"<{url}|{name}>" if "://" in url else f"{name}: {url}" for name, url in named if url))
    return {"text": "\n".join([*lines, *_left_out(message)])}


def teams(message: Message, settings: AlertsSettings) -> dict[str, Any]:
    """The message as a workflow of Teams takes it: an adaptive card, with as many findings as it has room for."""
    for most in range(MOST_FINDINGS, 1, -1):
        card = _card_message(message, settings, most)
        if len(json.dumps(card, ensure_ascii=False).encode("utf-8", "replace")) <= MOST_CARD_BYTES:
            return card
    return _card_message(message, settings, 1)


def _card_message(message: Message, settings: AlertsSettings, most: int) -> dict[str, Any]:
    is_over = message.turn == "resolved"
    body: list[dict[str, Any]] = [
        {
            "type": "TextBlock",
            "text": _card(subject(message)),
            "weight": "bolder",
            "size": "medium",
            "wrap": True,
            "color": "good" if is_over else "attention" if message.findings[0].severity == "error" else "warning",
        }
    ]
    actions: list[dict[str, str]] = []
    for finding in message.findings[:most]:
        facts = [{"title": name or "What", "value": _card(text)} for name, text in _said(message, finding)]
        links = links_of(finding, settings)
        facts.append({"title": "Runbook", "value": links.runbook})
        body.append({"type": "FactSet", "facts": facts})
        for name, url in (("Asset", links.asset), ("Run", links.run), ("Runbook", links.runbook)):
            # Cards show six actions; the first finding is the worst.
            if "://" in url and len(actions) < 6:
                actions.append({"type": "Action.OpenUrl", "title": f"{name} {finding.asset}"[:60], "url": url})
    body += [{"type": "TextBlock", "text": line, "wrap": True} for line in _left_out(message, most)]
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": actions,
    }
    card = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
    return {"type": "message", "attachments": [card]}


def _told(message: Message, finding: Finding, settings: AlertsSettings) -> Iterator[tuple[str, str]]:
    yield from _said(message, finding)
    links = links_of(finding, settings)
    for name, url in (("Asset page", links.asset), ("Run page", links.run), ("Runbook", links.runbook)):
        if url:
            yield name, url


def _said(message: Message, finding: Finding) -> Iterator[tuple[str, str]]:
    """What is told of a finding, by name; its title has none."""
    yield "", _line(finding.title, MOST_TEXT_CHARS)
    if message.turn == "opened":
        yield from ((name, _line(text, MOST_TEXT_CHARS)) for name, text in _details(finding) if text)
    else:
        yield "It is well again since", _moment(finding.at)
        yield "It was", _line(finding.found, MOST_TEXT_CHARS)


def _details(finding: Finding) -> Iterator[tuple[str, str]]:
    yield "Found", finding.found
    yield "What should be", finding.means
    yield "Do", finding.next_step
    who = ", ".join(finding.owners)
    yield "Concerns", f"source {finding.source}{f' ({who})' if who else ''}" if finding.source else "the whole pipeline"
    yield "Asset", finding.asset
    yield "Run", finding.run_id


def _left_out(message: Message, most: int = MOST_FINDINGS) -> list[str]:
    more = len(message.findings) - most
    return ["", f"and {more:,} more; all of them: rag-pipeline alerts list"] if more > 0 else []


def _clean(value: Any) -> Any:
    return masked(value) if isinstance(value, str) else value


def _line(text: str, most: int) -> str:
    return bounded(" ".join(visible(masked(text)).split()), most)


def _slack(text: str) -> str:
    return text.translate(_SLACK)


def _card(text: str) -> str:
    """Without what a card takes for a link or a picture."""
    return text.replace("[", "(").replace("]", ")")


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
