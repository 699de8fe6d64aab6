"""Where commands print for people."""

from __future__ import annotations

from rich.console import Console

_WIDTH = 100  # of a table that goes to a file or a pipe


def terminal(*, stderr: bool = False) -> Console:
    """Prints what it is given, brackets and colons too; tables stay whole when nobody watches."""
    found = Console(stderr=stderr, soft_wrap=True, markup=False, emoji=False, highlight=False)
    if not found.is_terminal:
        found.width = _WIDTH
    return found
