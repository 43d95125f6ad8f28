"""Who may read a document: the most specific statement decides, and silence means nobody."""

from __future__ import annotations

from rag_pipeline.contracts.sources import DeclaredMetadata, PermissionRule, SourceSpec
from rag_pipeline.transforms.permissions import allowed_principals

NOTHING = DeclaredMetadata()
DECOMPOSED = "Gescha\u0308fte"
SPEC = SourceSpec(
    "handbook",
    "docs",
    allowed_principals=("staff", "public", "staff"),
    permission_rules=(
        PermissionRule("hr/**", ("hr",)),
        PermissionRule("hr/open/**", ("public",)),
        PermissionRule("closed/", ()),
    ),
)


def test_the_default_counts_where_nothing_else_is_said() -> None:
    assert allowed_principals("a.md", NOTHING, SPEC) == ("public", "staff")


def test_nothing_listed_is_nobody() -> None:
    assert allowed_principals("a.md", NOTHING, SourceSpec("x", "docs")) == ()


def test_the_first_matching_rule_decides() -> None:
    assert allowed_principals("hr/open/a.md", NOTHING, SPEC) == ("hr",)


def test_a_rule_can_close_a_folder() -> None:
    assert allowed_principals("closed/x/a.md", NOTHING, SPEC) == ()


def test_a_rule_covers_hidden_names_too() -> None:
    assert allowed_principals("hr/.drafts/a.md", NOTHING, SPEC) == ("hr",)


def test_what_is_declared_decides_before_rules() -> None:
    declared = DeclaredMetadata(allowed_principals=("b", "a", "b"))
    assert allowed_principals("hr/a.md", declared, SPEC) == ("a", "b")


def test_an_empty_declaration_is_nobody_and_not_silence() -> None:
    assert allowed_principals("a.md", DeclaredMetadata(allowed_principals=()), SPEC) == ()


def test_a_link_opens_nothing_that_its_target_closes() -> None:
    assert allowed_principals("a.md", DeclaredMetadata(link_target="hr/salaries.md"), SPEC) == ()
    assert allowed_principals("hr/a.md", DeclaredMetadata(link_target="hr/b.md"), SPEC) == ("hr",)
    assert allowed_principals("a.md", DeclaredMetadata(link_target="b.md"), SPEC) == ("public", "staff")


def test_a_declaration_beside_a_link_does_not_lift_the_targets() -> None:
    declared = DeclaredMetadata(
        allowed_principals=("public", "staff"), link_target="b.md", link_target_principals=("staff", "hr")
    )
    assert allowed_principals("a.md", declared, SPEC) == ("staff",)


def test_a_rule_closes_a_folder_however_its_letters_are_composed() -> None:
    for written, found in ((DECOMPOSED, "Geschäfte"), ("Geschäfte", DECOMPOSED), ("hr", "h\u200br")):
        spec = SourceSpec(
            "x", "docs", allowed_principals=("public",), permission_rules=(PermissionRule(f"{written}/**", ("board",)),)
        )
        assert allowed_principals(f"{found}/a.md", NOTHING, spec) == ("board",)


def test_a_principal_that_is_none_opens_nothing() -> None:
    spec = SourceSpec("x", "docs", allowed_principals=(" ", "fin\u200bance", DECOMPOSED))
    assert allowed_principals("a.md", NOTHING, spec) == ("Geschäfte",)
