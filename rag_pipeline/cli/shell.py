"""Commands that a person is offered to paste: titles and names in them came from documents, and must do nothing else.

Belongs here: quoting for a shell, and keeping a title or a name from being read as an option.
Does not belong here: when a command is offered.
"""

from __future__ import annotations

import shlex

# Inside double quotes a shell still acts on these.
_ACTIVE = frozenset('"$`\\!')


def quoted(text: str) -> str:
    """One argument for a shell; in double quotes where they do, since they read better."""
    return shlex.quote(text) if set(text) & _ACTIVE else f'"{text}"'


def search_command(question: str, principal: str) -> str:
    """A search to paste after the program's name, whatever the question and the name of who asks begin with."""
    # On one line: white space is nothing that a search looks at.
    asked = quoted(" ".join(question.split()))
    # `--as=NAME` cannot be taken for two options.
    asker = f"--as={shlex.quote(principal)}" if principal.startswith("-") else f"--as {shlex.quote(principal)}"
    if asked[1:].startswith("-"):
        # What follows two dashes is no option.
        return f"search {asker} -- {asked}"
    return f"search {asked} {asker}"


def file_argument(path: str) -> str:
    """A file's path as an argument that is no option and one word."""
    return shlex.quote(f"./{path}" if path.startswith("-") else path)
