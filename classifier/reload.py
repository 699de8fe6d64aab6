"""Edited files go live within two seconds; an invalid edit changes nothing but a metric."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from time import monotonic

from classifier.assembly import Assembly
from classifier.errors import ConfigError
from classifier.logs import event

_POLL_S = 0.4
_RETRY_S = 2.0  # a refused file may be mended by one that nobody watches yet: a missing prompt
_Stamp = tuple[int, int, int]
_Signature = dict[Path, _Stamp]


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
        also: Iterable[Path] = (),
    ) -> None:
        self._also = tuple(also)
        self._live = _signature(self._watched(assembly))
        self._version = assembly.version
        self._build = build
        self._swap = swap
        self._report = report
        self._asked = asyncio.Event()
        self._refused_for = ""

    def ask(self) -> None:
        """Reload now, changed or not (SIGHUP): key files are read again too."""
        self._asked.set()

    async def watch(self) -> None:
        """Promise: ends only when it is cancelled, whatever stands in the files."""
        seen = self._live
        tried_at = monotonic()
        while True:
            asked = await self._asked_within(_POLL_S)
            now = _signature(self._live)
            changed = now == seen and now != self._live
            seen = now
            retry = bool(self._refused_for) and monotonic() - tried_at >= _RETRY_S
            if asked or changed or retry:
                tried_at = monotonic()
                await self.reload(quiet=not (asked or changed))

    async def reload(self, *, quiet: bool = False) -> None:
        """`quiet`: being refused again for the same reason is no news."""
        before = self._live = _signature(self._live)
        try:
            assembly = await asyncio.to_thread(self._build)
        except ConfigError as error:
            self._refuse(error.detail, quiet=quiet)
            return
        except Exception as error:  # noqa: BLE001 -- no file may end the watch
            self._refuse(f"unexpected {type(error).__name__}", quiet=quiet)
            return
        # A file that changed while it was read differs from its stamp of before: read again.
        self._live = {file: before.get(file) or _stamp(file) for file in self._watched(assembly)}
        outcome = "unchanged" if assembly.version == self._version else "live"
        self._version = assembly.version
        self._refused_for = ""
        await self._swap(assembly)
        event(logging.INFO, "config.reloaded", version=assembly.version, outcome=outcome)
        self._report(outcome)

    def _watched(self, assembly: Assembly) -> tuple[Path, ...]:
        endpoints = assembly.config.endpoints.values()
        mounted = [file for e in endpoints for file in (e.api_key_file, e.ca_file) if file]
        for desk in assembly.config.helpdesks:
            mounted += [*desk.secret_file, *([desk.key_file] if desk.key_file else [])]
        return (*assembly.loaded.files, *map(Path, mounted), *self._also)

    async def _asked_within(self, pause_s: float) -> bool:
        try:
            await asyncio.wait_for(self._asked.wait(), pause_s)
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    def _refuse(self, reason: str, *, quiet: bool) -> None:
        if quiet and reason == self._refused_for:
            return
        self._refused_for = reason
        event(logging.ERROR, "config.refused", reason=reason)
        self._report("refused")


def _signature(files: Iterable[Path]) -> _Signature:
    return {path: _stamp(path) for path in files}


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)
