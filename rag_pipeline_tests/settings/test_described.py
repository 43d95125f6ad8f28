"""What settings mean is read when it is asked for, and at no other start."""

from __future__ import annotations

from pydantic import Field

from rag_pipeline.settings.described import describe
from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.sections import Settings


class Inner(Section):
    """Stands within."""

    depth: int = 1
    """How deep."""


class Above(Section):
    """Is built upon."""

    name: str = ""
    """What it is called,
    in one word."""
    bare: int = 0


class Outer(Above):
    """Holds it."""

    inner: dict[str, Inner | None] = Field(default_factory=dict)
    own: int = Field(default=0, description="said elsewhere")
    """Not this."""


def test_each_setting_is_described_by_the_text_below_it() -> None:
    assert Inner.model_fields["depth"].description is None
    describe(Outer)
    schema = Outer.model_json_schema()
    said = {name: each.get("description") for name, each in schema["properties"].items()}
    name = "What it is called,\nin one word."
    assert said == {"name": name, "bare": None, "inner": None, "own": "said elsewhere"}
    assert schema["$defs"]["Inner"]["properties"]["depth"]["description"] == "How deep."
    assert Outer(inner={"a": Inner(depth=2)}).inner["a"] == Inner(depth=2)


def test_no_section_of_the_settings_is_read_as_text_while_it_is_made() -> None:
    sections, seen = [Section, Settings], set()
    while sections:
        section = sections.pop()
        seen.add(section)
        assert not section.model_config.get("use_attribute_docstrings"), section
        sections += section.__subclasses__()
    assert len(seen) > 30
