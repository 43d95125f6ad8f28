"""What a definition looks like in each programming language's syntax tree.

Belongs here: node types of the tree-sitter grammars, and how to read a definition's name.
Does not belong here: cutting the source (`code.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_NO_TYPES: frozenset[str] = frozenset()


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _text(node: Node | None) -> str:
    return node.text.decode("utf-8", "replace") if node is not None and node.text is not None else ""


def _by_field(node: Node) -> str:
    return _text(node.child_by_field_name("name"))


def _declarator(node: Node) -> str:
    """C and C++ hide the name inside pointers and parameter lists: `*f(int)` is named `f`."""
    named = node.child_by_field_name("name")
    found = node.child_by_field_name("declarator")
    while found is not None:
        named = found
        found = found.child_by_field_name("declarator")
    return _text(named)


def _go_name(node: Node) -> str:
    if node.type == "type_declaration":
        return ", ".join(_by_field(child) for child in node.named_children if child.type.startswith("type_"))
    receiver = re.search(r"([A-Za-z_]\w*)\s*(?:\[[^\]]*\])?\s*\)$", _text(node.child_by_field_name("receiver"))[-300:])
    name = _by_field(node)
    return f"{receiver.group(1)}.{name}" if receiver else name


def _rust_name(node: Node) -> str:
    if node.type != "impl_item":
        return _by_field(node)
    return re.sub(r"<.*", "", _text(node.child_by_field_name("type")), flags=re.S)


def _sql_name(node: Node) -> str:
    found = next((child for child in node.named_children if child.type == "object_reference"), None)
    return _text(found)


def _js_name(node: Node) -> str:
    if node.type in ("lexical_declaration", "variable_declaration"):
        return ", ".join(_by_field(child) for child in node.named_children if child.type == "variable_declarator")
    return _by_field(node)


def _holds_function(node: Node) -> bool:
    """`const f = () => ...` defines f as much as `function f()` does."""
    if node.type not in ("lexical_declaration", "variable_declaration"):
        return True
    values = (
        child.child_by_field_name("value") for child in node.named_children if child.type == "variable_declarator"
    )
    return any(value is not None and value.type in _JS_FUNCTION_VALUES for value in values)


def _has_body(node: Node) -> bool:
    """`struct point *p;` uses a type; only one with a body defines it."""
    if not node.type.endswith("_specifier"):
        return True
    return node.child_by_field_name("body") is not None


def _always(node: Node) -> bool:
    del node
    return True


@dataclass(frozen=True, slots=True)
class Language:
    """How to cut one language.

    Attributes:
        name: As the metadata of a document says it.
        module: Package of the grammar's wheel.
        grammar: Function of that package that gives the grammar.
        definitions: Node types that are definitions.
        containers: Definitions that are cut into a head and their members.
        wrappers: Nodes around one definition, whose span counts as the definition's (decorators, export).
        transparent: Nodes whose children are looked at in their place.
        leading: Nodes that belong to the definition after them (comments, attributes).
        name_of: Reads a definition's name.
        is_definition: Last word on a node whose type is in `definitions`.
    """

    name: str
    module: str
    definitions: frozenset[str]
    containers: frozenset[str] = _NO_TYPES
    wrappers: frozenset[str] = _NO_TYPES
    transparent: frozenset[str] = _NO_TYPES
    leading: frozenset[str] = frozenset({"comment"})
    name_of: Callable[[Node], str] = _by_field
    is_definition: Callable[[Node], bool] = _always
    grammar: str = "language"


_JS_FUNCTION_VALUES = _set("arrow_function function_expression function generator_function class")
_JS_DEFINITIONS = _set(
    "function_declaration generator_function_declaration class_declaration method_definition lexical_declaration "
    "variable_declaration"
)
_TS_DEFINITIONS = _JS_DEFINITIONS | _set(
    "abstract_class_declaration interface_declaration type_alias_declaration enum_declaration internal_module module "
    "function_signature"
)
_JS_CONTAINERS = _set("class_declaration abstract_class_declaration internal_module module")
_JS_TRANSPARENT = _set("class_body statement_block expression_statement ERROR")
_C_TRANSPARENT = _set(
    "preproc_ifdef preproc_if preproc_else preproc_elif linkage_specification declaration_list "
    "field_declaration_list declaration ERROR"
)
_C_DEFINITIONS = _set("function_definition struct_specifier union_specifier enum_specifier type_definition")


def _javascript(name: str, module: str, grammar: str, definitions: frozenset[str]) -> Language:
    return Language(
        name,
        module,
        definitions,
        containers=_JS_CONTAINERS,
        wrappers=_set("export_statement ambient_declaration"),
        transparent=_JS_TRANSPARENT,
        leading=_set("comment decorator"),
        name_of=_js_name,
        is_definition=_holds_function,
        grammar=grammar,
    )


LANGUAGES: dict[str, Language] = {
    "text/x-python": Language(
        "python",
        "tree_sitter_python",
        _set("function_definition class_definition"),
        containers=_set("class_definition"),
        wrappers=_set("decorated_definition"),
        transparent=_set("block if_statement else_clause try_statement except_clause with_statement ERROR"),
    ),
    "text/javascript": _javascript("javascript", "tree_sitter_javascript", "language", _JS_DEFINITIONS),
    "text/x-typescript": _javascript("typescript", "tree_sitter_typescript", "language_typescript", _TS_DEFINITIONS),
    "text/x-tsx": _javascript("tsx", "tree_sitter_typescript", "language_tsx", _TS_DEFINITIONS),
    "text/x-go": Language(
        "go",
        "tree_sitter_go",
        _set("function_declaration method_declaration type_declaration"),
        transparent=_set("ERROR"),
        name_of=_go_name,
    ),
    "text/x-rust": Language(
        "rust",
        "tree_sitter_rust",
        _set(
            "function_item function_signature_item struct_item enum_item union_item trait_item impl_item mod_item "
            "macro_definition type_item"
        ),
        containers=_set("trait_item impl_item mod_item"),
        transparent=_set("declaration_list ERROR"),
        leading=_set("line_comment block_comment attribute_item"),
        name_of=_rust_name,
    ),
    "text/x-java": Language(
        "java",
        "tree_sitter_java",
        _set(
            "class_declaration interface_declaration enum_declaration record_declaration annotation_type_declaration "
            "method_declaration constructor_declaration compact_constructor_declaration"
        ),
        containers=_set("class_declaration interface_declaration enum_declaration record_declaration"),
        transparent=_set("class_body interface_body enum_body enum_body_declarations ERROR"),
        leading=_set("line_comment block_comment"),
    ),
    "text/x-c": Language(
        "c",
        "tree_sitter_c",
        _C_DEFINITIONS,
        transparent=_C_TRANSPARENT,
        name_of=_declarator,
        is_definition=_has_body,
    ),
    "text/x-c++": Language(
        "c++",
        "tree_sitter_cpp",
        _C_DEFINITIONS | _set("class_specifier namespace_definition concept_definition alias_declaration"),
        containers=_set("class_specifier struct_specifier namespace_definition"),
        wrappers=_set("template_declaration"),
        transparent=_C_TRANSPARENT,
        name_of=_declarator,
        is_definition=_has_body,
    ),
    "application/sql": Language(
        "sql",
        "tree_sitter_sql",
        _set(
            "create_table create_view create_materialized_view create_index create_function create_trigger "
            "create_schema create_type create_sequence create_procedure create_policy alter_table create_query"
        ),
        wrappers=_set("statement"),
        leading=_set("comment marginalia"),
        name_of=_sql_name,
    ),
    "text/x-shellscript": Language(
        "shell", "tree_sitter_bash", _set("function_definition"), transparent=_set("ERROR if_statement")
    ),
}


@cache
def parser_for(language: Language) -> Parser:
    """A parser with the language's grammar, made once a process."""
    from tree_sitter import Language as Grammar
    from tree_sitter import Parser

    return Parser(Grammar(getattr(import_module(language.module), language.grammar)()))
