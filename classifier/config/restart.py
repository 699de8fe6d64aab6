"""Keys that are read once, at start: an edit of theirs waits for the next one."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import fields

from classifier.config.schema import Cache, Config

# Read for each ticket or answer, not by the cache that was built at start.
_LIVE = ("ttl_s", "abstain_ttl_s", "across_replicas")
RESTART_ONLY: Mapping[str, tuple[str, ...]] = {
    "server": ("auth", "console"),
    "cache": tuple(field.name for field in fields(Cache) if field.name not in _LIVE),
}


def waiting(running: Config, edited: Config) -> tuple[str, ...]:
    """`table.key` of every key that was edited but is not live."""
    return tuple(
        f"{table}.{key}"
        for table, keys in RESTART_ONLY.items()
        for key in keys
        if getattr(getattr(running, table), key) != getattr(getattr(edited, table), key)
    )
