"""See the service work, without a key and without Redis.

Starts a simulated model server and the service on 127.0.0.1, replays the sample tickets, prints
the table and keeps serving. Uses Redis when CLASSIFIER_REDIS_URL is set.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import secrets
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from typing import TYPE_CHECKING

from classifier.cli.listening import bind
from classifier.cli.signals import stop_on_signal
from classifier.cli.terminal import terminal
from classifier.config.load import SHIPPED
from classifier.errors import ConfigError
from classifier.money import nanodollars, usd
from classifier.settings import PREFIX, Settings, read_settings

if TYPE_CHECKING:
    import httpx2
    from rich.console import Console

    from classifier.cli.tally import Tally

TICKETS = SHIPPED / "tickets.jsonl"
_LESSONS = ("--knowledge", str(SHIPPED / "phrases.jsonl"), "--train", str(TICKETS))
_REDIS = ("CLASSIFIER_REDIS_URL", "CLASSIFIER_REDIS_URL_FILE")
_SECRET = ("CLASSIFIER_CACHE_SECRET", "CLASSIFIER_CACHE_SECRET_FILE")
_START_S = 300.0  # a busy machine takes its time; a child that ends is noticed at once
_STOP_S = 10.0
_TICKETS_PER_DAY = 50_000
_CLAIMED_SAVING = 0.9
_INTERRUPTED = 130
_COST = re.compile(r'^classifier_cost_dollars_total\{.*reason="(\w+)".*\} (\S+)$', re.MULTILINE)
_ALONE = re.compile(
    r'^classifier_counterfactual_cost_dollars_total\{path="long".*\} (\S+)$', re.MULTILINE
)
_TRY = """curl -s http://127.0.0.1:{port}/classify -H 'Content-Type: application/json' \\
  -d '{{"subject": "Invoice 4471", "body": "You charged my card twice this month!"}}'"""


class _Interrupted(Exception):
    """Somebody pressed ctrl-c before the table stood."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="exit after the table")
    parser.add_argument("--port", type=int, default=8000, help="port of the service (8000)")


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    bind("127.0.0.1", options.port).close()
    try:
        return asyncio.run(_demo(options, environ))
    except _Interrupted:
        return _INTERRUPTED


async def _demo(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    console, port = terminal(), _free_port()
    url = f"http://127.0.0.1:{options.port}"
    service_environ = _service_environ(environ, port)
    read_settings(service_environ)  # what is wrong with them is told before anything is started
    simulate = ("simulate", "--port", str(port), *_LESSONS)
    serve = ("serve", "--config", str(SHIPPED / "demo.toml"), "--port", str(options.port))
    with stop_on_signal() as stopped:
        console.print("starting the simulated model server …")
        async with _child(simulate, _bare(environ)) as simulator:
            await _answers(f"http://127.0.0.1:{port}/", simulator, stopped)
            console.print(f"starting the service on {url} …")
            async with _child(serve, service_environ) as service:
                await _answers(f"{url}/readyz", service, stopped)
                replayed = await _replay(url, console, stopped)
                if options.once:
                    return 1 if replayed.failed else 0
                _invite(console, url, options.port)
                return await _keep_serving(console, stopped, simulator, service)


async def _replay(url: str, console: Console, stopped: asyncio.Event) -> Tally:
    from classifier.cli.asking import by_service
    from classifier.cli.job import Job
    from classifier.cli.output import Output
    from classifier.cli.reading import Columns, at_hand, read_rows
    from classifier.cli.tally import Tally

    with read_rows(str(TICKETS), "ndjson", Columns({})) as read:
        rows = list(read)
    console.print(f"replaying {len(rows)} sample tickets …")
    tally = Tally()
    with closing(Output(os.devnull, fresh=True, earlier=tally.add)) as output:
        job = Job(output, tally, stopped, terminal(stderr=True))
        async with by_service(url, Settings(), None, use_cache=True) as ask:
            await job.run(ask, at_hand(rows), concurrency=8, total=len(rows))
    if stopped.is_set():
        raise _Interrupted
    console.print(tally.table(_TICKETS_PER_DAY))
    console.print(tally.summary())
    console.print(await _savings(url))
    return tally


async def _savings(url: str) -> str:
    """The claim of the saving against what the service's own metrics say; whatever comes out."""
    async with _client() as client:
        page = (await client.get(f"{url}/metrics")).text
    costs = [(reason, nanodollars(amount)) for reason, amount in _COST.findall(page)]
    alone = sum(nanodollars(amount) for amount in _ALONE.findall(page))
    if not alone:
        return "no price for the long path: the saving cannot be told"
    shadow = sum(amount for reason, amount in costs if reason == "shadow")
    paid = sum(amount for _, amount in costs) - shadow
    saving = 1 - paid / alone
    verdict = "holds" if saving >= _CLAIMED_SAVING else "does not hold"
    return (
        f"long path alone, uncached: ${usd(alone)}; paid: ${usd(paid)} "
        f"(saving {saving:.0%}; the claim of 90 % {verdict} here; simulated)\n"
        f"shadow calls, which only measure: ${usd(shadow)}"
    )


def _invite(console: Console, url: str, port: int) -> None:
    console.print(f"\nstill serving; try (ctrl-c ends it):\n\n{_TRY.format(port=port)}\n")
    console.print(f"API: {url}/schema   metrics: {url}/metrics")


async def _keep_serving(console: Console, stopped: asyncio.Event, *children: Process) -> int:
    waits = [stopped.wait(), *(child.wait() for child in children)]
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    if stopped.is_set():
        return 0
    console.print("a server ended by itself; its message stands above", style="bold red")
    return 1


def _bare(environ: Mapping[str, str]) -> dict[str, str]:
    """Without the settings of a service: its endpoints, keys and config are not the demo's."""
    return {name: value for name, value in environ.items() if not name.startswith(PREFIX)}


def _service_environ(environ: Mapping[str, str], simulator_port: int) -> dict[str, str]:
    """Of the settings only the cache's; and no proxy stands between two processes of one machine."""
    kept = {name: environ[name] for name in (*_REDIS, *_SECRET) if environ.get(name)}
    if kept and not any(name in kept for name in _SECRET):
        kept["CLASSIFIER_CACHE_SECRET"] = secrets.token_hex(16)
    return {
        **_bare(environ),
        **kept,
        "CLASSIFIER_ENDPOINT_SIMULATOR_URL": f"http://127.0.0.1:{simulator_port}/v1",
        "CLASSIFIER_LOG_LEVEL": "warning",
        "CLASSIFIER_DRAIN_S": "0",  # no load balancer has to hear of its end
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


@asynccontextmanager
async def _child(arguments: tuple[str, ...], environ: dict[str, str]) -> AsyncIterator[Process]:
    """A child of ours: started here, ended here, in a group of its own so that ctrl-c is ours."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "classifier", *arguments, env=environ, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _answers(url: str, process: Process, stopped: asyncio.Event) -> None:
    """Waits until a child answers 200. Raises ConfigError when it ends first or takes too long."""
    import httpx2

    deadline = asyncio.get_running_loop().time() + _START_S
    async with _client() as client:
        while asyncio.get_running_loop().time() < deadline:
            if stopped.is_set():
                raise _Interrupted
            if process.returncode is not None:
                raise ConfigError("it could not be started; its message stands above")
            with suppress(httpx2.HTTPError):
                if (await client.get(url)).status_code == httpx2.codes.OK:
                    return
            await asyncio.sleep(0.1)
    raise ConfigError(f"{url} did not answer within {_START_S:.0f} s")


def _client() -> httpx2.AsyncClient:
    import httpx2

    return httpx2.AsyncClient(trust_env=False)  # no proxy leads to this machine


def _free_port() -> int:
    with closing(bind("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
