"""Edited files go live within two seconds; an invalid edit changes nothing but a metric."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from classifier.assembly import Assembly
from classifier.errors import ConfigError
from classifier.logs import event

_POLL_S = 0.4
_Signature = tuple[tuple[str, int, int, int], ...]


class Reloader:
    """Watches the files behind an assembly and swaps in a new one.

    Polls: a handful of stat calls work on every file system, and through the symbolic links with
    which a mounted ConfigMap is exchanged. A change must hold still for one poll before it is read.
    """

    def __init__(
        self,
        assembly: Assembly,
        build: Callable[[], Assembly],
        swap: Callable[[Assembly], Awaitable[None]],
        report: Callable[[str], None],
    ) -> None:
        self._files = _watched(assembly)
        self._version = assembly.version
        self._build = build
        self._swap = swap
        self._report = report
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Reload now, changed or not (SIGHUP): key files are read again too."""
        self._asked.set()

    async def watch(self) -> None:
        live = seen = _signature(self._files)
        while True:
            try:
                await asyncio.wait_for(self._asked.wait(), _POLL_S)
            except TimeoutError:
                now = _signature(self._files)
                is_still = now == seen
                seen = now
                if now == live or not is_still:
                    continue
            self._asked.clear()
            live = seen = _signature(self._files)
            await self.reload()

    async def reload(self) -> None:
        try:
            assembly = await asyncio.to_thread(self._build)
        except ConfigError as error:
            event(logging.ERROR, "config.refused", reason=error.detail)
            self._report("refused")
            return
        self._files = _watched(assembly)
        outcome = "unchanged" if assembly.version == self._version else "live"
        self._version = assembly.version
        await self._swap(assembly)
        event(logging.INFO, "config.reloaded", version=assembly.version, outcome=outcome)
        self._report(outcome)


def _watched(assembly: Assembly) -> tuple[Path, ...]:
    keys = [e.api_key_file for e in assembly.config.endpoints.values() if e.api_key_file]
    return (*assembly.loaded.files, *map(Path, keys))


def _signature(files: tuple[Path, ...]) -> _Signature:
    return tuple(_stamp(path) for path in files)


def _stamp(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (str(path), 0, 0, 0)
    return (str(path), found.st_mtime_ns, found.st_size, found.st_ino)
