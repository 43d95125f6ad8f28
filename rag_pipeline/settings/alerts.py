"""Who is told when something is wrong: the section `alerts` of pipeline.yaml.

Belongs here: where messages go, and which of them. What opens a place comes from the environment alone.
Does not belong here: what is told (`transforms/alerts.py`), sending it (`rag_pipeline/alerts/`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.serving import Url
from rag_pipeline.settings.types import Owner, SourceName

Variable = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Address = Annotated[str, Field(max_length=320, pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+$")]
SinkName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]

# What each kind needs, and what it takes beside that.
_NEEDS: dict[str, tuple[set[str], set[str]]] = {
    "log": (set(), set()),
    "webhook": ({"url_variable"}, {"token_variable"}),
    "slack": ({"url_variable"}, set()),
    "teams": ({"url_variable"}, set()),
    "email": ({"host", "sender", "recipients"}, {"port", "tls", "user", "password_variable"}),
    "command": ({"command"}, set()),
}
_OF_ONE_KIND = {name for needed, more in _NEEDS.values() for name in needed | more}


class AlertSinkSettings(Section):
    """One place that messages go to, and which of them."""

    kind: Literal["log", "webhook", "slack", "teams", "email", "command"]
    """The program's log, an address that takes JSON, one of Slack or of Teams, e-mail, or a program."""
    min_severity: Literal["warning", "error"] = "warning"
    """`error` leaves out what only warns."""
    events: tuple[Literal["run", "check", "freshness", "publication", "deletion_guard", "budget", "hints"], ...] = ()
    """Which kinds of events; none named: all."""
    sources: tuple[SourceName, ...] = ()
    """Only what concerns these sources; none named: everything, also what concerns no single source."""
    owners: tuple[Owner, ...] = ()
    """Only what concerns sources of these owners; none named: everything."""
    url_variable: Variable | None = None
    """Environment variable with the address of a webhook, which opens it and so stands in no file."""
    token_variable: Variable | None = None
    """Environment variable with a token that is sent as `Authorization: Bearer`."""
    host: str | None = Field(default=None, min_length=1, max_length=255)
    """Mail server."""
    port: int = Field(default=587, ge=1, le=65_535)
    """Port of the mail server."""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection to the mail server is encrypted; `none` is for a server on this machine."""
    user: str | None = Field(default=None, min_length=1, max_length=320)
    """Name to log in with at the mail server."""
    password_variable: Variable | None = None
    """Environment variable with the password."""
    sender: Address | None = None
    """Address that mails come from."""
    recipients: tuple[Address, ...] = ()
    """Addresses that mails go to."""
    command: tuple[Annotated[str, Field(max_length=4_096)], ...] = ()
    """Program and its arguments, which gets the message as JSON on standard input; it runs in the folder of this
    file, without a shell."""
    timeout_seconds: float = Field(default=10, gt=0, le=300)
    """So long may sending one message take."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> AlertSinkSettings:
        needed, more = _NEEDS[self.kind]
        given = {name for name in self.model_fields_set if name in _OF_ONE_KIND}
        if missing := sorted(name for name in needed if not getattr(self, name)):
            raise ValueError(f"a sink of kind {self.kind} needs {', '.join(missing)}")
        if foreign := sorted(given - needed - more):
            raise ValueError(f"a sink of kind {self.kind} has no {', '.join(foreign)}")
        if (self.user is None) != (self.password_variable is None):
            raise ValueError("user and password_variable go together")
        if self.user is not None and self.tls == "none":
            raise ValueError("a password is sent over an encrypted connection only: set tls to starttls or tls")
        return self


class AlertsSettings(Section):
    """Who is told when something is wrong, or is well again."""

    sinks: dict[SinkName, AlertSinkSettings] = Field(default_factory=dict)
    """Where messages go, by name; none: nobody is told."""
    ui_url: Url | None = None
    """Address of the Dagster UI as people reach it, for links to the asset and the run."""
    runbook_url: str = Field(default="docs/runbook.md", max_length=2_048)
    """Where the runbook is read; messages link to its entries."""
