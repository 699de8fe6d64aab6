"""The real service as an operator starts it: `python -m classifier serve`, with its stderr kept."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.support.redis_server import free_port
from tests.support.waiting import eventually


class ServiceProcess:
    """A running process: a client for it, signals, and what it has logged so far."""

    def __init__(
        self, process: subprocess.Popen[bytes], client: httpx2.AsyncClient, log: Path
    ) -> None:
        self.client = client
        self.port = client.base_url.port or 0
        self._process = process
        self._log = log

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stderr(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The logged events of one name; every line must be a JSON object."""
        found = [json.loads(line) for line in self.stderr().splitlines()]
        return [event for event in found if event["event"] == name]

    async def stop(self) -> int:
        self._process.terminate()
        return await self.ended()

    async def ended(self) -> int:
        """The exit code of a process that ends by itself."""
        return await asyncio.to_thread(self._process.wait, 30)


@asynccontextmanager
async def serving(
    config: Path, folder: Path, environ: dict[str, str] | None = None, port: int | None = None
) -> AsyncIterator[ServiceProcess]:
    """Starts the service and waits until it is alive; it is stopped at the end in any case."""
    port = port or free_port()
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CLASSIFIER_")}
    variables = {
        **inherited, "CLASSIFIER_DRAIN_S": "0", **(environ or {}),
        "CLASSIFIER_CONFIG": str(config), "CLASSIFIER_PORT": str(port),
    }  # fmt: skip
    log = folder / "stderr.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(  # noqa: ASYNC220 -- signals are sent to it by its id
            [sys.executable, "-m", "classifier", "serve"], env=variables, stderr=stderr
        )
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
            service = ServiceProcess(process, client, log)

            async def alive() -> bool:
                assert process.poll() is None, service.stderr()
                try:
                    return (await client.get("/healthz")).status_code == 200
                except httpx2.ConnectError:
                    return False

            await eventually(alive, within_s=60)
            yield service
    finally:
        process.kill()
        process.wait()
