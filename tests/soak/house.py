"""What is put under stress: service, simulated models and Redis as processes, proxies between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import httpx2

from tests.soak.watched import ORDER, SIGHT
from tests.support.checker import Books, Charged, Metrics, Told
from tests.support.house import edited, write_config
from tests.support.lag import Lag
from tests.support.proxy import FaultProxy, proxied
from tests.support.redis_server import RedisServer, free_port
from tests.support.redis_topologies import Encrypted, encrypted
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
MODELS = {
    "ft:base:org::1": "short",
    "base": "long",
    "ft:base:tls::1": "tls",
    "ft:base:dns::1": "dns",
}
_CALLS = "classifier_attempts_total"
_QUIET_WITHIN_S = 10.0
# What a reload replaced is closed when the longest deadline has passed.
_TAKES_ITS_TIME = "EndpointPool.close_retired"
HERE, NOWHERE = "localhost", "model.invalid"  # RFC 6761: no server has this name
_MORE = """
[endpoints.tls]
base_url = "https://localhost:{tls_port}/v1"
[endpoints.dns]
base_url = "http://{host}:{dns_port}/v1"
[paths.tls]
kind = "chat"
endpoint = "tls"
model = "ft:base:tls::1"
prompt = "short.txt"
timeout_s = 1.0
static_tokens = 60
[paths.dns]
kind = "chat"
endpoint = "dns"
model = "ft:base:dns::1"
prompt = "short.txt"
timeout_s = 1.0
static_tokens = 60

[[routes]]
name = "tls"
when = {{ tags = ["tls"] }}
path = "tls"
fallback = ["long"]
[[routes]]
name = "dns"
when = {{ tags = ["dns"] }}
path = "dns"
fallback = ["long"]
[[routes]]
name = "default"
path = "short"
escalate = {{ to = "long", below = 0.05 }}
fallback = ["long"]

[cache]
memory_entries = 0
breaker_probe_s = {probe_s}
"""
_BREAKER = """
[paths.{path}.breaker]
open_s = {pace.open_s}
max_open_s = {pace.max_open_s}
hopeless_s = {pace.hopeless_s}
"""
_SIMULATOR = """
[[models]]
match = "ft:*"
listed = ["ft:base:org::1"]
[models.latency]
base_ms = {short_ms}
sigma = 0.1
[[models]]
match = "base"
listed = ["base"]
[models.latency]
base_ms = {long_ms}
sigma = 0.1
"""
_SUBJECTS = (("I was charged twice, invoice", "billing"), ("I cannot sign in, reset mail", "login"))


class Pace(NamedTuple):
    """How quick everything is. `tickets` are asked during each fault, `at_once` at a time."""

    short_ms: float = 4.0
    long_ms: float = 8.0
    short_timeout_s: float = 0.15
    long_timeout_s: float = 0.8
    deadline_s: float = 1.5
    cache_probe_s: float = 0.1
    open_s: float = 0.05
    max_open_s: float = 0.1
    hopeless_s: float = 0.1
    retry_after_s: float | None = 0.1  # of a 429; None: what the simulator takes for usual
    tickets: int = 4
    at_once: int = 4


class Process:
    """A child on a port of its own: signals by its id, its log, and what it holds."""

    def __init__(self, folder: Path, name: str, *arguments: str, **environ: str) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("CLASSIFIER_")}
        self._environ = {**inherited, **environ, "PYTHONPATH": str(ROOT)}
        self._command = (sys.executable, "-m", *arguments)
        self.log = folder / f"{name}.log"
        self.pid = 0
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command, env=self._environ, cwd=ROOT,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self.pid = self._child.pid

    def told_to(self, line: str) -> int:
        """Writes a line and reads the number that it is answered with."""
        assert self._child is not None
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{line}\n".encode())
        self._child.stdin.flush()
        return int(self._child.stdout.readline())

    def signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.send_signal(number)

    def end(self) -> None:
        """Killed, whatever state it is in."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def assert_alive(self) -> None:
        assert self._child is not None
        assert self._child.poll() is None, self.log.read_text(errors="replace")[-4_000:]

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def next_descriptor(self) -> int:
        """The number that the next one would get: a limit there lets none be opened."""
        taken = {int(one.name) for one in Path(f"/proc/{self.pid}/fd").iterdir()}
        return next(number for number in count() if number not in taken)

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def limit(self, what: int, soft: int) -> None:
        """Takes effect at once; -1 takes the limit away."""
        _, hard = resource.prlimit(self.pid, what)
        resource.prlimit(self.pid, what, (hard if soft < 0 else soft, hard))


class Models:
    """The simulated models. What they charged is kept here when their process dies."""

    def __init__(self, folder: Path, pace: Pace) -> None:
        self.port = free_port()
        own = folder / "models"
        own.mkdir()
        config = write_config(own, "http://no.invalid", "http://no.invalid")  # for its taxonomy
        models = own / "models.toml"
        models.write_text(_SIMULATOR.format(short_ms=pace.short_ms, long_ms=pace.long_ms))
        self._maker = Process(
            folder, "models", "tests.soak.models", str(self.port), str(config), str(models)
        )
        self._pid = 0
        url = f"http://127.0.0.1:{self.port}"
        self.control = httpx2.AsyncClient(base_url=url, timeout=30)
        self._charged: dict[str, Charged] = {}

    async def answers(self) -> bool:
        self._maker.assert_alive()
        try:
            return (await self.control.get("/")).status_code == 200
        except httpx2.TransportError:
            return False

    async def plant(self, fault: str, model: str = "*", **more: Any) -> None:
        rule = {"fault": fault, "model": model, **more}
        (await self.control.post("/simulator/faults", json=rule)).raise_for_status()

    async def heal(self) -> None:
        (await self.control.delete("/simulator/faults")).raise_for_status()

    async def charged(self) -> dict[str, Charged]:
        """By path, since the first process was started."""
        found = dict(self._charged)
        for row in (await self.control.get("/simulator/stats")).json()["calls"]:
            path, totals = MODELS[row["model"]], row["totals"]
            now = Charged(
                totals["calls"], totals["input_tokens"],
                totals["cached_input_tokens"], totals["output_tokens"],
            )  # fmt: skip
            found[path] = found.get(path, Charged()) + now
        return found

    async def die(self) -> None:
        """SIGKILL, at a moment at which nothing is under way."""
        self._charged = await self.charged()
        self.signal(signal.SIGKILL)

    def load(self) -> None:
        """Begins to; takes a second or two."""
        self._maker.start()

    async def rise(self) -> None:
        self._pid = await asyncio.to_thread(self._maker.told_to, "serve")
        await eventually(self.answers, within_s=60)

    def signal(self, number: signal.Signals) -> None:
        if self._pid:
            os.kill(self._pid, number)

    async def aclose(self) -> None:
        await self.control.aclose()
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        self._maker.end()


class House:
    """Everything that runs, and a client of the service that keeps what it is told."""

    def __init__(self, folder: Path, pace: Pace, config: Path, tls: Encrypted) -> None:
        self.folder, self.pace, self.config, self.tls = folder, pace, config, tls
        self.told: list[Told] = []
        self.idle: Counter[str] = Counter()
        self._tickets = 0
        self._order = 0
        self.clock_offset_s = 0.0

    to_short: FaultProxy
    to_long: FaultProxy
    to_tls: FaultProxy
    to_redis: FaultProxy
    models: Models
    redis: RedisServer
    service: Process
    port: int
    client: httpx2.AsyncClient
    lag: Lag

    async def ask(
        self, tag: str = "", *, deadline_s: float = 0.0, known: int | None = None
    ) -> Told:
        """One ticket that nobody has sent before, or, with `known`, the same one every time."""
        self._tickets += 1
        number = self._tickets if known is None else -known
        words, label = _SUBJECTS[number % 2]
        asked = Told(f"t{self._tickets}", label, deadline_s or self.pace.deadline_s)
        body = {"id": asked.ticket, "body": f"{words} {number}", "tags": [tag] if tag else []}
        headers = {"x-timeout-ms": f"{asked.deadline_s * 1e3:.0f}"}
        started, stalled_s = perf_counter(), self.stalled_s
        try:
            response = await self.client.post("/classify", json=body, headers=headers)
        except httpx2.TransportError as error:
            found = asked._replace(seen=f"no answer: {type(error).__name__}")
        else:
            found = _read(asked, response)
        took_s, stalled_s = perf_counter() - started, self.stalled_s - stalled_s
        self.told.append(found._replace(took_s=took_s, stalled_s=stalled_s))
        return self.told[-1]

    @property
    def stalled_s(self) -> float:
        """How long this process' loop has stood still, in all."""
        return self.lag.stalled_s

    async def look(self) -> dict[str, Any]:
        """What the service's process sees in itself; moves its clock as `clock_offset_s` says."""
        self._order += 1
        order = {"number": self._order, "clock_offset_s": self.clock_offset_s}
        (self.folder / ORDER).write_text(json.dumps(order))
        self.service.signal(signal.SIGUSR1)
        sight: dict[str, Any] = {}

        def seen() -> bool:
            self.service.assert_alive()
            file = self.folder / SIGHT
            sight.update(json.loads(file.read_text()) if file.exists() else {})
            return bool(sight.get("number") == self._order)

        await eventually(seen, within_s=15)
        return sight

    async def lags_s(self) -> float:
        """The longest that service and client stood still since the last call, added up."""
        return float((await self.look())["lag_s"]) + self.lag.take_s()

    async def books(self) -> Books:
        """Asks everybody, at a moment at which nothing is under way; what never ends is in it."""
        while True:
            tasks = await self._quiet()
            page = await self._metrics()
            charged = await self.models.charged()
            again = await self._metrics()
            # a probe may have begun in between
            if again.total(_CALLS) == page.total(_CALLS) and await self._quiet() == tasks:
                return Books(
                    charged, again, tasks, self.service.descriptors(), self.service.resident_bytes()
                )

    async def _quiet(self) -> Counter[str]:
        """The tasks, when there are none but those of an idle service, or still are after a while."""
        deadline = perf_counter() + _QUIET_WITHIN_S
        while True:
            tasks = Counter((await self.look())["tasks"])
            del tasks[_TAKES_ITS_TIME]
            self.idle = self.idle or tasks
            if not tasks - self.idle or perf_counter() > deadline:
                return tasks
            await asyncio.sleep(0.01)

    async def _metrics(self) -> Metrics:
        return Metrics((await self.client.get("/metrics")).text)

    def point_dns_at(self, host: str) -> None:
        """An edited config, live at once."""
        old = NOWHERE if host == HERE else HERE
        edited(self.config, f"http://{old}:", f"http://{host}:")
        self.service.signal(signal.SIGHUP)


def _read(asked: Told, response: httpx2.Response) -> Told:
    body = response.json()
    if response.status_code != 200:
        slug = str(body["type"]).rsplit(":", 1)[1]
        return asked._replace(status=response.status_code, seen=f"{response.status_code} {slug}")
    return asked._replace(
        status=200, seen=f"200 {body['path']}", answers=body["id"],
        label=body["label"], path=body["path"], source=body["source"],
    )  # fmt: skip


@asynccontextmanager
async def standing(folder: Path, pace: Pace) -> AsyncIterator[House]:
    """The whole house, warm; every process has ended when the block ends."""
    async with AsyncExitStack() as stack:
        models = Models(folder, pace)
        stack.push_async_callback(models.aclose)
        models.load()
        redis = RedisServer(
            folder, "--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024"
        )  # fmt: skip
        stack.callback(redis.stop)
        redis.start()
        to_short, to_long, to_redis = [
            await stack.enter_async_context(proxied(port))
            for port in (models.port, models.port, redis.port)
        ]
        tls = await stack.enter_async_context(encrypted(folder, models.port))
        to_tls = await stack.enter_async_context(proxied(tls.port))
        config = write_config(
            folder, f"http://127.0.0.1:{to_short.port}/v1", f"http://127.0.0.1:{to_long.port}/v1",
            _MORE.format(
                tls_port=to_tls.port, host=HERE, dns_port=models.port, probe_s=pace.cache_probe_s
            ) + "".join(_BREAKER.format(path=path, pace=pace) for path in MODELS.values()),
        )  # fmt: skip
        _set_pace(config, pace)
        house = House(folder, pace, config, tls)
        house.to_short, house.to_long, house.to_redis, house.to_tls = (
            to_short, to_long, to_redis, to_tls,
        )  # fmt: skip
        house.models, house.redis = models, redis
        await stack.enter_async_context(_serving(house))
        await _warm(house)
        yield house


def _set_pace(config: Path, pace: Pace) -> None:
    edited(config, "timeout_s = 1.0", f"timeout_s = {pace.long_timeout_s}")
    edited(
        config, f"timeout_s = {pace.long_timeout_s}", f"timeout_s = {pace.short_timeout_s}", times=1
    )
    edited(config, 'auth = "none"', f'auth = "none"\nmax_timeout_s = {max(2.0, pace.deadline_s)}')


@asynccontextmanager
async def _serving(house: House) -> AsyncIterator[None]:
    """The service's process and the client: kept connections, as behind a load balancer."""
    port = house.port = free_port()
    environ: Mapping[str, str] = {
        "CLASSIFIER_CONFIG": str(house.config),
        "CLASSIFIER_PORT": str(port),
        "CLASSIFIER_REDIS_URL": f"redis://127.0.0.1:{house.to_redis.port}/0",
        "CLASSIFIER_CACHE_SECRET": "a secret of sixteen characters",
        "SSL_CERT_FILE": str(house.tls.authority_file),
    }
    house.service = Process(
        house.folder, "service", "tests.soak.watched", str(house.folder), "serve", **environ
    )
    limits = httpx2.Limits(max_connections=512, max_keepalive_connections=512, keepalive_expiry=60)
    url = f"http://127.0.0.1:{port}"
    house.service.start()  # both take their time to load
    await house.models.rise()
    try:
        async with httpx2.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
            house.client = client
            await eventually(lambda: _ready(house), within_s=60)
            house.lag = Lag(asyncio.get_running_loop())
            yield
    finally:
        house.service.end()


async def _ready(house: House) -> bool:
    house.service.assert_alive()
    try:
        return (await house.client.get("/readyz")).status_code == 200
    except httpx2.TransportError:
        return False


async def _warm(house: House) -> None:
    """Every path has answered, and the pools hold what they will need."""
    for tag in ("", "tls", "dns"):
        await asyncio.gather(*(house.ask(tag) for _ in range(house.pace.at_once)))
    await house.client.post("/classify?path=long", json={"body": "charged twice"})
    house.told.clear()
    await house.lags_s()
    await asyncio.sleep(0.2)  # so that what is there now is what is always there
