"""Settings of the kind `rest`: objects of any JSON API, or a preset that is nothing but such YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, model_validator

from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.sources.common import CommonSourceSettings
from rag_pipeline.settings.sources.groups import SourceGroupsSettings
from rag_pipeline.settings.types import Network, Place, Text, out_of_the_environment
from rag_pipeline.shown import without_user

Template = Annotated[str, Field(max_length=100_000)]
_VARIABLE = re.compile(r"\[\[(\w+)\]\]")
_SECRETS = ("bearer", "password", "value")
_WAYS = ({"bearer"}, {"user", "password"}, {"header", "value"})
_NEEDS = {"cursor": ("field", "param"), "next_url": ("field",), "page_number": ("param",), "offset": ("param",)}


def _without_password(location: str) -> str:
    if without_user(location) != location:
        raise ValueError("a user and a password stand in `auth`, and the password in a variable of the environment")
    return location


class PagesSettings(Section):
    """How a list goes on."""

    type: Literal["single", "link", "next_url", "cursor", "page_number", "offset"] = "single"
    """One page; the header `Link`; an address or a cursor in the answer; or a number that counts pages or objects."""
    field: Text | None = None
    """Where the answer holds the next address or the cursor; empty or missing on the last page."""
    last: Text | None = None
    """Field that is true on the last page and false on all others, where the address or cursor goes on being given."""
    more: Text | None = None
    """The same the other way round: it is false on the last page."""
    param: Text | None = None
    """Parameter that takes the cursor or the number."""
    size_param: Text | None = None
    """Parameter that takes the size of a page."""
    size: int = Field(default=100, ge=1, le=10_000)
    """Objects of a page that are asked for."""
    first: int = Field(default=1, ge=0, le=1)
    """Number of the first page."""
    twice: bool | None = None
    """Whether the list is read twice and must be the same: pages by number skip an object when one before it goes.
    None: with `page_number` and `offset`."""

    @property
    def is_read_twice(self) -> bool:
        """Whether two readings must agree."""
        return self.type in ("page_number", "offset") if self.twice is None else self.twice

    @model_validator(mode="after")
    def _complete(self) -> PagesSettings:
        if self.last is not None and self.more is not None:
            raise ValueError("want one of last and more")
        missing = [name for name in _NEEDS.get(self.type, ()) if getattr(self, name) is None]
        if missing:
            raise ValueError(f"{self.type} needs {missing[0]}")
        return self


class ListSettings(Section):
    """A list of an API."""

    path: Text
    """Below the location, like `issues`."""
    params: dict[str, str] = Field(default_factory=dict)
    """Parameters of the address, by name; `{id}` in one is the object's, where the path may have it."""
    body: dict[str, Any] | None = None
    """Sent as JSON by POST, with the cursor and the size of a page in it; none: it is asked for by GET."""
    items: Text = ""
    """Where the answer holds the list, with dots between the levels; none: it is the list itself."""
    total: Text | None = None
    """Where the answer says how many there are; a list of another length is not whole."""
    pages: PagesSettings = PagesSettings()
    """How it goes on."""


class PartSettings(ListSettings):
    """What belongs to an object and stands in a list of its own, like comments; `{id}` in the path is the object's."""

    template: Template
    """Text of each, with fields in braces; `{@}` is all of it, as JSON."""
    nested: Text | None = None
    """Field that is true of one that has others below it: its `id` is put in place of `{id}`, and they follow it."""
    only: dict[str, str] = Field(default_factory=dict)
    """Fields that one must have to be added, with their values; a value of nothing is a field that is not there."""
    without: dict[str, tuple[Text, ...]] = Field(default_factory=dict)
    """Those that are left out: fields with the values that they have then."""


class AttachmentListSettings(ListSettings):
    """What holds the attachments of an object, in a list of its own; `{id}` in the path is the object's."""

    nested: Text | None = None
    """Field that is true of an entry with others below it: its `id` is put in place of `{id}`, and they count too."""
    always: bool = False
    """Whether it is asked for each object on each run, since attachments do not move the object's `revision`."""
    when: Text | None = None
    """Field of an object without which it is not asked, as there are none."""
    only: dict[str, str] = Field(default_factory=dict)
    """Fields that an entry must have to count, with their values; a value of nothing is a field that is not there."""
    without: dict[str, tuple[Text, ...]] = Field(default_factory=dict)
    """Entries that do not count, nor what is below them: fields with the values that they have then."""


class AttachmentsSettings(Section):
    """Files that are attached to an object: each is a document below it, for whoever may read the object."""

    list: AttachmentListSettings | None = None
    """Where they are listed; none: in the entry of the object in the list of objects."""
    at: tuple[Text, ...] = ("",)
    """Where an entry holds one or several; an empty text is the entry itself."""
    pattern: Text | None = None
    """Regular expression that finds them in the text at `at`; its named groups are their fields."""
    only: dict[str, str] = Field(default_factory=dict)
    """Fields that an attachment must have, with their values."""
    without: dict[str, tuple[Text, ...]] = Field(default_factory=dict)
    """Those that are left out: fields with the values that they have then."""
    names: tuple[Text, ...] = ("*",)
    """Globs on the file name; others are left out."""
    id: Text = "id"
    """Where an attachment holds a name that no other one of the object has, however it changes."""
    revision: tuple[Text, ...] = ()
    """Fields of which one changes with its bytes; none: they never do under one `id`."""
    name: tuple[Text, ...] = ("name",)
    """Where it holds its file name: the first that is there counts, and the end of its address where none is."""
    path: Text | None = None
    """Where its bytes are, below the location, with its fields in braces; `{record}` is the object. This or `url`."""
    url: tuple[Text, ...] = ()
    """Fields with the address of its bytes; the first that is there counts. One without any is left out."""
    send_auth_to: tuple[Text, ...] = ()
    """Other servers that get the credentials of `auth`, like `https://files.example`; any other is asked without."""
    size: Text | None = None
    """Where it says how many bytes it has; one over `max_document_bytes` is not asked for."""
    media_type: Text | None = None
    """Where it says what it is; none: its name and its bytes tell."""
    modified: Text | None = None
    """Where it says when it was made or changed."""
    most: int = Field(default=100, ge=1, le=10_000)
    """So many of one object are read; each one over that is named in quarantine."""

    @model_validator(mode="after")
    def _has_bytes(self) -> AttachmentsSettings:
        if (self.path is None) == (not self.url):
            raise ValueError("attachments: want one of path and url")
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"attachments.pattern: {error}") from error
        return self


class AboveSettings(ListSettings):
    """What an object lies in, in a list of its own; `{id}` in the path is the object's."""

    field: Text
    """Where an entry holds the name that is put in place of `{each}`."""
    most: int | None = Field(default=None, ge=1)
    """So many at most are given, however many there are: an object with as many is closed, as one may be missing."""


class GroupsSettings(ListSettings):
    """Members of a group that may read; `{group}` in the path is the group's name."""

    at: Text
    """Where an entry of the list of readers names a group, or several."""
    only: dict[str, str] = Field(default_factory=dict)
    """Fields that such an entry must have, with their values."""
    field: Text
    """Where an entry of the group's list names a member."""


class ReadersSettings(ListSettings):
    """Who may read an object, asked of the API; of several lists all must name somebody."""

    field: Text
    """Where an entry names somebody, or several."""
    only: dict[str, str] = Field(default_factory=dict)
    """Fields that an entry must have to count, with their values, like `{operation: read}`."""
    person: dict[str, str] = Field(default_factory=dict)
    """Fields that an entry must have too so that `field` names a person."""
    groups: GroupsSettings | None = None
    """Groups in the same list, that stand for their members."""
    each: Text | None = None
    """Fields of an object, as `{each}` in the path: it is asked for each value, and all answers must name somebody."""
    each_of: AboveSettings | None = None
    """A list to take the values of `{each}` from, instead."""
    empty: Literal["nobody", "everybody"] = "nobody"
    """What an empty list means: nobody, or no restriction by this list."""
    others: tuple[Text, ...] = ()
    """Lists in the same answer that restrict too, like one of groups; they let nobody in, as members are not known."""


class SeenBySettings(ListSettings):
    """People that a server is asked as: whoever it shows an object to may read it."""

    field: Text
    """Where an entry of this list holds the name to ask as; it is the principal, too."""
    only: dict[str, str] = Field(default_factory=dict)
    """Fields that an entry must have to count, with their values."""
    header: Text
    """Header of a request that holds that name, like `X-Redmine-Switch-User`."""
    who_path: Text
    """Below the location, what says who is asking, so that a server that pays no heed to the header is told."""
    who_field: Text
    """Where that answer holds the name."""


class MembersSettings(ListSettings):
    """Members of a group, or groups in it, in a list of its own; `{group}` in the path is the group."""

    field: Text
    """Where an entry names somebody, or several."""
    only: dict[str, str] = Field(default_factory=dict)
    """Fields that an entry must have to count, with their values."""


class RestGroupsSettings(SourceGroupsSettings):
    """Who is in which group, from a file or from lists of the same API."""

    name: Text = "name"
    """Where a group holds its name, by which documents list it."""
    id: Text | None = None
    """Where a group holds what takes the place of `{group}` in paths; none: its name."""
    member: Text | None = None
    """Where a group itself names its members. This or `members` is needed."""
    members: MembersSettings | None = None
    """List of a group's members. One that may not be seen has none; where the server breaks, what was known stands."""
    subgroup: Text | None = None
    """Where a group itself names the groups in it."""
    subgroups: MembersSettings | None = None
    """List of the groups in a group."""
    names: tuple[Text, ...] | None = None
    """Names of the groups, where no list names them: a project of one's own has one, of who may read it."""
    list: ListSettings | None = None
    """All groups."""

    @classmethod
    def own_ways(cls) -> tuple[str, ...]:
        return ("list", "names")

    @model_validator(mode="after")
    def _names_members(self) -> RestGroupsSettings:
        if self.list is not None and (self.member is None) == (self.members is None):
            raise ValueError("groups: with list, want one of member and members")
        if self.names is not None and (self.members is None or self.member is not None):
            raise ValueError("groups: with names, want members")
        return self


class RestSettings(CommonSourceSettings):
    """Objects of a JSON API, each a document; becomes the asset bronze/<name>."""

    kind: Literal["rest"]
    """Kind of source: any JSON API."""
    location: Annotated[Place, AfterValidator(_without_password)]
    """Address that the paths are below, like `https://tracker.example/api`."""
    preset: Text | None = None
    """Settings that come with the package, like `github_issues`; what is said here goes before them."""
    variables: dict[str, str] = Field(default_factory=dict)
    """What the preset wants to know, like the name of a repository."""
    auth: dict[str, str] = Field(default_factory=dict)
    """`{bearer: $TOKEN}`, `{user: NAME, password: $PASSWORD}` or `{header: X-Api-Key, value: $KEY}`; secrets stand in
    the environment."""
    headers: dict[str, str] = Field(default_factory=dict)
    """More headers of each request."""
    list: ListSettings
    """All objects, with their revisions and readers."""
    ok: Text | None = None
    """Field that is true in each good answer, where errors come with status 200."""
    gone: tuple[Text, ...] = ()
    """What the field `error` of such an answer says of an object that is gone."""
    without: dict[str, tuple[Text, ...]] = Field(default_factory=dict)
    """Objects that are left out: fields with the values that they have then."""
    id: Text
    """Where an object holds the name that it has for ever; it is the document's address."""
    revision: tuple[Text, ...] = ()
    """Fields of which one changes with every change; none: the whole object is compared, which needs no `detail`."""
    detail: Text | None = None
    """Path of one object, with `{id}`; none: the list holds all of it."""
    detail_item: Text = ""
    """Where the answer to `detail` holds the object, or a list that begins with it."""
    text: tuple[Text, ...] = ()
    """Fields whose text is the document, with an empty line between them. This or `template` is needed."""
    template: Template | None = None
    """The document's text, with fields in braces, like `{body}`."""
    parts: tuple[PartSettings, ...] = ()
    """What is added to the text, like comments."""
    attachments: tuple[AttachmentsSettings, ...] = ()
    """Files of an object, each a document below it."""
    media_type: Text = "text/plain"
    """What the text is, like `text/markdown` or `text/html`."""
    title: Text | None = None
    """Field with the title."""
    author: Text | None = None
    """Field with the author."""
    modified: Text | None = None
    """Field with the time of the last change."""
    metadata: tuple[Text, ...] = ()
    """Fields that searches filter by."""
    url: Text | None = None
    """Field with the address for people, or such an address with fields in braces."""
    principals: Text | None = None
    """Field that names who may read the object: a list or one name."""
    readers: tuple[ReadersSettings, ...] = ()
    """Lists of who may read an object; with several, and with `principals`, only who stands in all of them may."""
    reader_groups: tuple[Text, ...] = ()
    """Groups of `groups`, without the prefix, whose members may read every object if `principals` and `readers` let
    them, too: a change of members touches no document."""
    seen_by: SeenBySettings | None = None
    """People that `list` is asked as: whoever it shows an object to may read it, if `principals` and `readers` let
    them, too."""
    groups: RestGroupsSettings | None = None
    """Who is in which group, where objects name groups as readers; none: callers bring their groups along."""
    networks: tuple[Network, ...] = ()
    """Networks that are not public and may be asked, like `10.0.0.0/8`."""
    requests_at_once: int = Field(default=4, ge=1, le=64)
    """So many requests at the same time."""
    timeout_seconds: int = Field(default=30, ge=1, le=600)
    """So long an answer is waited for."""

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, given: object) -> object:
        if not isinstance(given, Mapping) or not isinstance(given.get("preset"), str):
            return given
        variables = given.get("variables")
        return preset(given["preset"], variables if isinstance(variables, Mapping) else {}) | dict(given)

    @model_validator(mode="after")
    def _consistent(self) -> RestSettings:
        if bool(self.text) == (self.template is not None):
            raise ValueError("want one of text and template")
        lists = [self.list, *self.parts, *self.readers, *(each.list for each in self.attachments if each.list)]
        if any(each.body is not None and each.pages.type not in ("single", "cursor") for each in lists):
            raise ValueError("body: want pages of the type cursor or single")
        if self.detail is not None and not self.revision:
            raise ValueError("revision: with detail, want the fields that tell whether an object has changed")
        if self.reader_groups and self.seen_by is not None:
            raise ValueError("seen_by: want no reader_groups beside it; it names people, and groups are not compared")
        if self.reader_groups and self.groups is None:
            raise ValueError("reader_groups: want `groups`, which says who is in them")
        if self.auth and set(self.auth) not in _WAYS:
            raise ValueError("auth: want bearer, or user and password, or header and value")
        for name in _SECRETS:
            try:
                out_of_the_environment(self.auth.get(name, "$NONE"))
            except ValueError as error:
                raise ValueError(f"auth.{name}: {error}") from error
        return self


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    found = files("rag_pipeline.settings.sources").joinpath("presets").iterdir()
    return sorted(each.name.removesuffix(".yaml") for each in found if each.name.endswith(".yaml"))


def preset(name: str, variables: Mapping[object, object]) -> dict[str, Any]:
    """The settings of a preset, with its variables filled in.

    Raises:
        ValueError: There is no such preset, or it wants a variable that is not given or that the environment holds.
    """
    if name not in preset_names():
        raise ValueError(f"preset: there is no {name!r:.100}; presets: {', '.join(preset_names())}")
    text = files("rag_pipeline.settings.sources").joinpath("presets", f"{name}.yaml").read_text("utf-8")
    wanted = set(_VARIABLE.findall(text))
    missing = sorted(wanted - set(variables))
    if missing:
        raise ValueError(f"variables: the preset {name} wants {missing[0]}")
    unread = sorted(name for name in wanted if str(variables[name]).startswith("$"))
    if unread:
        raise ValueError(f"variables.{unread[0]}: want the value itself; it is put into addresses, and is no secret")
    loaded = yaml.safe_load(text)
    filled = _filled(loaded, {key: str(variables[key]) for key in wanted})
    assert isinstance(filled, dict)
    return filled


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: variables[match[1]], value)
    if isinstance(value, dict):
        return {key: _filled(each, variables) for key, each in value.items()}
    return [_filled(each, variables) for each in value] if isinstance(value, list) else value
