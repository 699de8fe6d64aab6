"""What an operator would read: the log as the production formatter writes it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from classifier.logs import JSONLines


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged inside the block, by us at any level, by others from WARNING on."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JSONLines())
    root, ours = logging.getLogger(), logging.getLogger("classifier")
    level = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.removeHandler(handler)
        ours.setLevel(level)
