"""Starts LanceDB without the models of its REST client.

Belongs here: the stand-in for `lance_namespace_urllib3_client`, which `import lancedb` loads and a lake never uses.
Does not belong here: anything that opens a table (`vectors.py`).

The client is some 160 modules of pydantic models, more than half the processor time of the import. They describe
requests to a hosted catalogue; tables in a folder or a bucket are opened without one. For the command line only: a
program that embeds us may want the hosted kind in the same process, so importing this module changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

REST_CLIENT = "lance_namespace_urllib3_client"


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
