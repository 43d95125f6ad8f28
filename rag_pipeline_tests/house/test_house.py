"""The rules of the house: who may import whom, how large things may be, what may be in the tree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from rag_pipeline_tests.paths import REPOSITORY

ROOT = REPOSITORY / "rag_pipeline"
MODULES = sorted(ROOT.rglob("*.py"))
LARGEST_MODULE_LINES = 400
LARGEST_FUNCTION_LINES = 80
FUNCTION_P95_LINES = 55

# A package may import those to its left, never one to its right; members of one group do not know each other.
ORDER = (
    {"shown"},
    {"errors"},
    {"contracts"},
    {"settings"},
    {"telemetry"},
    {"parsing"},
    {"transforms"},
    {"endpoints"},
    {"parallel", "embedding", "stores"},
    {"sources"},
    {"retrieval"},
    {"answering"},
    {"enrichment", "evaluation"},
    {"adapters"},
    {"refresh"},
    {"alerts"},
    {"defs", "serving"},
    {"cli", "component", "definitions"},
    {"testing"},
)
ONLY_IN = {
    "dagster": {"defs", "component", "definitions"},
    "deltalake": {"stores"},
    "obstore": {"stores"},
    "lancedb": {"stores"},
    "duckdb": {"stores"},
    "psycopg": {"stores"},
    "dulwich": {"sources"},
    "sqlalchemy": {"sources", "defs"},
    "httpcore": {"sources"},
    "pytest": {"testing"},
    "sentence_transformers": {"embedding"},
    "openai": {"endpoints"},
    "httpx2": {"endpoints"},
    "ray": {"parallel"},
    "redis": {"answering", "stores"},
    "langchain_core": {"adapters"},
    "llama_index": {"adapters"},
    "haystack": {"adapters"},
    "fastapi": {"serving"},
    "mcp": {"serving"},
    "opentelemetry": {"telemetry"},
    "starlette": {"serving"},
    "uvicorn": {"serving"},
    "torch": {"embedding"},
    "onnxruntime": {"embedding"},
    "openvino": {"embedding"},
    "tokenizers": {"embedding"},
}


def rank(package: str) -> int:
    return next(i for i, group in enumerate(ORDER) if package in group)


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imported_modules(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "rag_pipeline"}
    return frozenset(found)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


ROOMS: dict[str, list[Path]] = {room: [] for room in sorted(set(map(package_of, MODULES)))}
for module in MODULES:
    ROOMS[package_of(module)].append(module)


def in_every_module(rule: Callable[[Path], None]) -> Callable[[str], None]:
    """A test for each room: one for each module and rule would be thousands that begin and end longer than they run."""

    @pytest.mark.parametrize("room", ROOMS)
    def test(room: str) -> None:
        broken = []
        for path in ROOMS[room]:
            try:
                rule(path)
            except AssertionError as error:
                broken.append(f"{name_of(path)}: {error}")
        assert not broken, "\n".join(broken)

    test.__name__, test.__doc__ = rule.__name__, rule.__doc__
    return test


@in_every_module
def test_imports_point_down(path: Path) -> None:
    here = package_of(path)
    for module in imported_modules(path):
        top, _, rest = module.partition(".")
        assert here in ONLY_IN.get(top, {here}), f"{here} imports {top}; only {ONLY_IN[top]} may"
        there = rest.split(".")[0]
        if top != "rag_pipeline" or not there or here == "__init__" or there == here:
            continue
        if any(there in group for group in ORDER):
            assert rank(there) < rank(here), f"{here} imports {module}: imports point down"


# What opens the first sink, and what looks for damage of its files.
OPENS_THE_INDEX = {"refresh/workspace.py", "refresh/damage.py"}


@in_every_module
def test_steps_write_to_a_sink_and_not_to_lancedb(path: Path) -> None:
    if package_of(path) == "refresh" and name_of(path) not in OPENS_THE_INDEX:
        assert "rag_pipeline.stores.vectors" not in imported_modules(path), "take a Sink of contracts/sink.py"


def test_no_module_needs_itself() -> None:
    """Imports within functions count: what is hidden there is a circle all the same."""

    def module_of(path: Path) -> str:
        dotted = ".".join(["rag_pipeline", *path.relative_to(ROOT).with_suffix("").parts])
        return dotted.removesuffix(".__init__")

    # The package itself only lends names to those who embed it.
    modules = {module_of(path) for path in MODULES} - {"rag_pipeline"}
    needs: dict[str, set[str]] = {}
    for path in MODULES:
        needed: set[str] = set()
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Import):
                needed |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                needed |= inner & modules or {node.module}
        if module_of(path) in modules:
            needs[module_of(path)] = needed & modules
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(" needs ".join(error.args[1]))


@in_every_module
def test_modules_are_small_and_say_what_they_are(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= LARGEST_MODULE_LINES
    if text.strip():
        assert ast.get_docstring(tree_of(path)), "a module begins with what it is and what belongs there"


# The one place that unpickles reads what the pool sends to its worker; what comes back is read by `parallel/wire.py`.
UNPICKLES = {"parallel/worker.py"}


@in_every_module
def test_numbers_have_a_reason(path: Path) -> None:
    """A comment above or beside each constant or the block it stands in, or a docstring below."""
    lines = path.read_text("utf-8").split("\n")
    without = []
    for node in tree_of(path).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        parts = list(ast.walk(node.value))
        is_number = any(isinstance(part, ast.Constant) and type(part.value) in (int, float) for part in parts) and all(
            isinstance(part, ast.Constant | ast.BinOp | ast.UnaryOp | ast.operator | ast.unaryop) for part in parts
        )
        if not is_number:
            continue
        above = node.lineno - 2
        while above >= 0 and re.match(r"_?[A-Z][A-Z0-9_]* = ", lines[above]):
            above -= 1
        below = lines[node.end_lineno or 0] if (node.end_lineno or 0) < len(lines) else ""
        is_said = lines[above].startswith("#") or "  # " in lines[node.lineno - 1] or below.startswith('"""')
        if not is_said:
            without.append(f"{node.targets[0].id} in line {node.lineno}")
    assert without == []


@in_every_module
def test_nothing_that_others_wrote_is_unpickled(path: Path) -> None:
    """Reading a pickle runs whatever its writer wants."""
    assert not imported_modules(path) & {"marshal", "shelve", "dill", "cloudpickle", "joblib"}, name_of(path)
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module in ("pickle", "_pickle"):
            raise AssertionError(f"{name_of(path)}: import pickle as a whole, so that its uses are seen")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pickle":
            is_reading = node.attr not in ("dumps", "PicklingError")
            assert not is_reading or name_of(path) in UNPICKLES, f"{name_of(path)}: pickle.{node.attr}"


def test_functions_are_short() -> None:
    sizes = []
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                sizes.append((lines, f"{name_of(path)}:{node.name}"))
    sizes.sort(reverse=True)
    assert sizes[0][0] <= LARGEST_FUNCTION_LINES, sizes[:3]
    assert sizes[len(sizes) // 20][0] <= FUNCTION_P95_LINES, sizes[:10]


def test_parsers_and_chunker_start_fast() -> None:
    """Worker processes import these; a data-frame library there would cost every worker a second."""
    banned = {"polars", "pyarrow", "numpy", "pandas"}
    reads_pictures = {*ROOT.glob("parsing/ocr/*.py"), ROOT / "parsing/pdf/scanned.py"}
    for path in {*ROOT.rglob("parsing/**/*.py"), *ROOT.glob("transforms/chunk/*.py")} - reads_pictures:
        tops = {module.partition(".")[0] for module in imported_modules(path)}
        assert not tops & banned, name_of(path)
    # These need arrays, and only when a picture comes.
    names = sorted(name_of(path).removesuffix(".py").replace("/", ".") for path in reads_pictures)
    asked = f"import sys, {', '.join(f'rag_pipeline.{name}' for name in names)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    assert not {*loaded} & {*banned, "cv2", "PIL"}


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return [REPOSITORY / name for name in names if (REPOSITORY / name).is_file()]


def test_the_tree_names_no_machine_and_no_registry_host() -> None:
    # Spelled apart, so that this file does not find itself.
    hosts = ["pypi" + ".org", "files.python" + "hosted", "registry.npm" + "js"]
    folders = ["/wo" + "rk/", "/ro" + "ot/"]
    pattern = re.compile("|".join(re.escape(word) for word in hosts + folders))
    for path in tracked_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        assert not pattern.search(text), path.relative_to(REPOSITORY)
