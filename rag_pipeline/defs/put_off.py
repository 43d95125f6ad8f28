"""Modules that Dagster loads at every start and uses seldom are loaded when something of them is used.

Belongs here: which modules these are, and what stands in their place until then.
Does not belong here: anything that they do.

Alembic sets up and migrates Dagster's tables, which lie there already, and brings along a template engine. Components
are for projects that are written in YAML, the daemon's controller for the daemon. No module may stand here whose
classes are in Dagster's records, since those are known by name only once they are loaded, nor one with constants that
are compared. For the command line only, like `stores/light_lancedb.py`: importing this module changes nothing.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Collection, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# While Dagster is loaded it takes names from these, and calls none of them.
SELDOM_USED = ("alembic", "dagster._daemon.controller", "dagster.components")
# What `typing` asks of whatever stands in an annotation.
_ASKED_OF_TYPES = frozenset(
    {"__parameters__", "__typing_subst__", "__typing_unpacked_tuple_args__", "__typing_is_unpacked_typevartuple__"}
)


def put_off_imports(packages: Collection[str] = SELDOM_USED) -> None:
    """Have these packages and modules, with all in them, loaded when they are first used.

    One that is loaded already stays as it is.
    """
    for package in packages:
        if package not in sys.modules:
            sys.meta_path.insert(0, _Finder(package))


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


class _Finder(MetaPathFinder, Loader):
    """Answers for a package and every module in it, until something of it is used."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._lock = threading.RLock()

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the protocol's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if _is_in(fullname, self._package) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name, self)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run: names are made when they are asked for."""

    @property
    def is_loaded(self) -> bool:
        """Whether the package was asked for something, so that objects of its classes may be about."""
        return self not in sys.meta_path

    def real(self, module: str) -> ModuleType:
        """The module itself, which is loaded now if it was not."""
        with self._lock:
            if self in sys.meta_path:
                sys.meta_path.remove(self)
                for name in [name for name, each in sys.modules.items() if isinstance(each, _Module)]:
                    if _is_in(name, self._package):
                        del sys.modules[name]
            return importlib.import_module(module)


class _Module(ModuleType):
    """A module in which every public name is there, and none has been looked at."""

    def __init__(self, name: str, finder: _Finder) -> None:
        super().__init__(name)
        self.__finder = finder

    def __getattr__(self, name: str) -> _Named:
        if name.startswith("_"):
            raise AttributeError(name)
        made = _Named(self.__finder, self.__name__, name)
        setattr(self, name, made)
        return made


class _Named:
    """A function or class of a module that is loaded when it is called or asked for anything."""

    def __init__(self, finder: _Finder, module: str, name: str) -> None:
        self.__finder, self.__module, self.__name = finder, module, name

    def __real(self) -> Any:
        module = self.__finder.real(self.__module)
        try:
            return getattr(module, self.__name)
        except AttributeError:
            # `import a` and then `a.b.c`: the module `a.b` may be one that nobody has asked for.
            return importlib.import_module(f"{self.__module}.{self.__name}")

    def __call__(self, *arguments: Any, **values: Any) -> Any:
        return self.__real()(*arguments, **values)

    def __getattr__(self, name: str) -> Any:
        if name in _ASKED_OF_TYPES and not self.__finder.is_loaded:
            raise AttributeError(name)
        return getattr(self.__real(), name)

    def __or__(self, other: Any) -> Any:
        """`Name | None` in an annotation, which nobody evaluates."""
        return self

    __ror__ = __or__

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self.__real(),)

    def __instancecheck__(self, instance: object) -> bool:
        # Of a class that was never loaded nothing is an instance.
        return self.__finder.is_loaded and isinstance(instance, self.__real())
