"""Starts LanceDB without what it loads and looks through for nobody.

Belongs here: the stand-ins for `lance_namespace_urllib3_client`, which `import lancedb` loads and a lake never uses,
and for `overrides`, with which it has each of its methods looked through.
Does not belong here: anything that opens a table (`vectors.py`).

The client is some 160 modules of pydantic models, more than half the processor time of the import. They describe
requests to a hosted catalogue; tables in a folder or a bucket are opened without one. For the command line only: a
program that embeds us may want the hosted kind in the same process, so importing this module changes nothing.

`overrides` reads the byte code around each of a hundred methods, at every start, to find out whether their signatures
fit those that they replace. That is a test of LanceDB's own code, and more than half of what is left of the import.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar, final

# Functions, models and connections of the hosted kind, of which LanceDB takes names while it is loaded.
SELDOM_USED = ("lancedb.embeddings", "lancedb.functions", "lancedb.remote")
REST_CLIENT = "lance_namespace_urllib3_client"
OVERRIDES = "overrides"

T = TypeVar("T")


def keep_override_checks_out() -> bool:
    """Let methods that are marked as replacing others be taken at their word; call before the first `import lancedb`.

    Returns:
        Whether it took effect: nothing is changed when the checks or LanceDB are loaded already.
    """
    if OVERRIDES in sys.modules or "lancedb" in sys.modules:
        return False
    module = ModuleType(OVERRIDES, "A stand-in that checks nothing.")
    vars(module).update(override=_marked, overrides=_marked, final=final, EnforceOverrides=object)
    sys.modules[OVERRIDES] = module
    return True


def _marked(method: T | None = None, **_: Any) -> Any:
    """The method as it is, whether the mark is given as `@override` or as `@override(check_signature=...)`."""
    return method if method is not None else _marked


def keep_rest_client_out() -> bool:
    """Let the modules of the REST client be stand-ins from now on; call before the first `import lancedb`.

    Returns:
        Whether it took effect: nothing is changed when the client or LanceDB is loaded already.
    """
    if REST_CLIENT in sys.modules or "lancedb" in sys.modules:
        return False
    sys.meta_path.insert(0, _StandInFinder())
    return True


class _StandInFinder(MetaPathFinder, Loader):
    """Answers for the REST client and every module in it."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the protocol's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != REST_CLIENT:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandInModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run: names are made when they are asked for."""


class _StandInModule(ModuleType):
    """A module in which every public name is a class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("_"):
            raise AttributeError(name)
        made = type(name, (_StandIn,), {"__module__": self.__name__})
        setattr(self, name, made)
        return made


class _StandIn:
    """An object that keeps what it is given, as responses that LanceDB makes for itself are read."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)
