"""Rolling restarts behind a real HAProxy: two replicas, replaced one after the other under load.

`python -m tests.soak.rolling --rolls 20 --rate 60`. What counts: no request fails. Nobody retries:
neither the clients nor HAProxy (`retries 0`).
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import httpx2

from tests.support.commands import patient
from tests.support.house import write_config
from tests.support.process import ServiceProcess, serving
from tests.support.redis_server import free_port
from tests.support.upstream import Upstream, served
from tests.support.waiting import eventually

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
DRAIN_S = 1.5
_CHECK_MS, _FALL = 200, 2  # noticed after 0.4 s: well within the drain, as in a cluster
_PROXY = """
global
  maxconn 500
defaults
  mode http
  retries 0
  timeout connect 1s
  timeout client 30s
  timeout server 30s
  timeout check 2s
frontend watch
  bind 127.0.0.1:{watch}
  monitor-uri /whole
  monitor fail if {{ nbsrv(replicas) lt 2 }}
frontend door
  bind 127.0.0.1:{port}
  default_backend replicas
backend replicas
  option httpchk GET /readyz
  http-check expect status 200
  default-server check inter {check_ms}ms fall {fall} rise 1
{servers}
"""


@dataclass
class Rolled:
    """What the clients got: statuses, and errors of connections by their class."""

    answers: Counter[str] = field(default_factory=Counter)
    rolls: int = 0
    exit_codes: Counter[int] = field(default_factory=Counter)

    @property
    def asked(self) -> int:
        return sum(self.answers.values())

    @property
    def failed(self) -> int:
        return self.asked - self.answers["200"]


@asynccontextmanager
async def proxied(ports: list[int], folder: Path) -> AsyncIterator[tuple[str, str]]:
    """HAProxy over replicas on these ports: its address, and one that answers 200 while all are up."""
    assert HAPROXY is not None
    port, watch, file = free_port(), free_port(), folder / "haproxy.cfg"
    servers = "\n".join(f"  server replica{n} 127.0.0.1:{p}" for n, p in enumerate(ports))
    numbers = {"port": port, "watch": watch, "check_ms": _CHECK_MS, "fall": _FALL}
    file.write_text(_PROXY.format(servers=servers, **numbers))
    process = subprocess.Popen(  # noqa: ASYNC220 -- ended by its id
        [HAPROXY, "-f", str(file), "-db"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{watch}/whole"
    finally:
        process.kill()
        process.wait()


class Replica:
    """A process on a port that stays; replaced by a new one on the same port."""

    def __init__(self, config: Path, folder: Path) -> None:
        self.port = free_port()
        self.service: ServiceProcess
        self._config, self._folder = config, folder
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        environ = {"CLASSIFIER_DRAIN_S": str(DRAIN_S)}
        running = serving(self._config, self._folder, environ, port=self.port)
        self.service = await self._stack.enter_async_context(running)

    async def replace(self) -> int:
        """Its exit code, once a new one is ready."""
        code = await self.service.stop()
        await self._stack.aclose()
        await self.start()
        return code

    async def aclose(self) -> None:
        await self._stack.aclose()


async def roll(rolls: int, rate: float, folder: Path) -> Rolled:
    """`rolls` replacements in turn, under `rate` requests a second from clients that keep connections."""
    found, model = Rolled(), Upstream()
    model.delay_s = 0.1
    # Refusing load is another promise: here a busy machine must not look like a dropped request.
    unhurried = "\n[overload]\nadaptive = false\ninitial_concurrency = 256\nqueue_wait_s = 10.0\nturn_limit_s = 10.0\n"
    config = patient(write_config(folder, model.url, model.url, unhurried))
    replicas = []
    for number in range(2):
        (folder / str(number)).mkdir()
        replicas.append(Replica(config, folder / str(number)))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(served(model, model.port))
        for replica in replicas:
            stack.push_async_callback(replica.aclose)
            await replica.start()
        url, whole = await stack.enter_async_context(
            proxied([each.port for each in replicas], folder)
        )
        client = await stack.enter_async_context(httpx2.AsyncClient(base_url=url, timeout=20))
        await eventually(lambda: _answers(client, whole), within_s=30)
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(_load(client, rate, found, ended))
            try:
                for number in range(rolls):
                    found.exit_codes[await replicas[number % 2].replace()] += 1
                    found.rolls += 1
                    # As a rollout with maxUnavailable 0: the next one goes when this one serves.
                    await eventually(lambda: _answers(client, whole), within_s=60)
            finally:
                ended.set()
    return found


async def _answers(client: httpx2.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx2.HTTPError:
        return False


async def _load(
    client: httpx2.AsyncClient, rate: float, found: Rolled, ended: asyncio.Event
) -> None:
    """Open loop: a request begins when it is due, whatever became of the others."""
    begun, number = monotonic(), 0
    async with asyncio.TaskGroup() as group:
        while not ended.is_set():
            group.create_task(_ask(client, number, found))
            number += 1
            await asyncio.sleep(max(0.0, begun + number / rate - monotonic()))


async def _ask(client: httpx2.AsyncClient, number: int, found: Rolled) -> None:
    try:
        answer = await client.post("/classify", json={"body": f"roll {number}"})
        found.answers[str(answer.status_code)] += 1
    except httpx2.HTTPError as error:
        found.answers[type(error).__name__] += 1


def main(rolls: int, rate: float) -> int:
    """Prints what the clients got; exit code 1 when one request failed."""
    if HAPROXY is None:
        print("haproxy is missing: apt-get install haproxy", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(roll(rolls, rate, Path(folder)))
    print(f"{found.asked:,} requests, {found.rolls} rolls, {found.failed} failed")
    print(f"answers {dict(found.answers)}, exit codes {dict(found.exit_codes)}")
    return 1 if found.failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rolls", type=int, default=40)
    parser.add_argument("--rate", type=float, default=60.0)
    chosen = parser.parse_args()
    sys.exit(main(chosen.rolls, chosen.rate))
