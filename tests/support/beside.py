"""An asynchronous house in a thread of its own, for tests that wait for something else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
_PATIENCE_S = 30


@contextmanager
def beside(opened: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """What `opened` gives, alive in a loop beside the test until the block ends."""
    loop = asyncio.new_event_loop()
    stop, started = asyncio.Event(), Future[T]()

    async def live() -> None:
        try:
            async with opened() as value:
                started.set_result(value)
                await stop.wait()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = Thread(target=loop.run_until_complete, args=(live(),))
    thread.start()
    try:
        yield started.result(_PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(_PATIENCE_S)
        loop.close()
