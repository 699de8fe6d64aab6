"""Several real processes of the service for the start-up cost of one: forked after the imports."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import httpx2

from tests.support.redis_server import free_port
from tests.support.waiting import eventually


class Replica:
    """One process, and a client for it."""

    def __init__(self, pid: int, client: httpx2.AsyncClient) -> None:
        self.pid = pid
        self.client = client

    async def classify(self, body: str, headers: dict[str, str] | None = None) -> httpx2.Response:
        return await self.client.post("/classify", json={"body": body}, headers=headers or {})

    async def metrics(self, name: str) -> float:
        """The sum of all samples of a name."""
        page = (await self.client.get("/metrics")).text
        lines = [line for line in page.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


@asynccontextmanager
async def replicas(
    count: int, config: Path, environ: dict[str, str] | None = None
) -> AsyncIterator[list[Replica]]:
    """`classifier serve` so many times, each on its own port; all are alive when this returns."""
    ports = [free_port() for _ in range(count)]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CLASSIFIER_")}
    variables = {
        **inherited, **(environ or {}), "CLASSIFIER_CONFIG": str(config), "CLASSIFIER_LOG_LEVEL": "error",
    }  # fmt: skip
    parent = subprocess.Popen(  # noqa: ASYNC220 -- it is ended by its id
        [sys.executable, "-m", "tests.support.replicas", *map(str, ports)],
        env=variables, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert parent.stdout is not None
    pids = [int(word) for word in (await asyncio.to_thread(parent.stdout.readline)).split()]
    try:
        async with AsyncExitStack() as stack:
            found = []
            for pid, port in zip(pids, ports, strict=True):
                client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60)
                found.append(Replica(pid, await stack.enter_async_context(client)))
            for replica in found:
                await eventually(lambda r=replica: _alive(r), within_s=60)
            yield found
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        parent.wait(30)
        parent.stdout.close()


async def _alive(replica: Replica) -> bool:
    try:
        return (await replica.client.get("/healthz")).status_code == 200
    except httpx2.TransportError:
        await asyncio.sleep(0.05)
        return False


def _fork(ports: list[str]) -> None:
    """The parent waits for its children, and prints their ids."""
    import uvicorn  # noqa: PLC0415 -- what all of them need, once

    import classifier.app  # noqa: PLC0415
    from classifier.__main__ import main  # noqa: PLC0415

    assert callable(uvicorn.Server)
    assert callable(classifier.app.create_app)
    pids = []
    for port in ports:
        pid = os.fork()
        if not pid:
            os.close(1)
            os._exit(main(["serve", "--port", port]))
        pids.append(pid)
    sys.stdout.write(f"{' '.join(map(str, pids))}\n")
    sys.stdout.flush()
    for pid in pids:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    _fork(sys.argv[1:])
