"""See the service work, without a key and without Redis.

Starts a simulated model server and the service on 127.0.0.1, replays the sample tickets, prints
the table and keeps serving. Uses Redis when CLASSIFIER_REDIS_URL is set.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

import httpx2
from rich.console import Console

from classifier.cli import tally
from classifier.cli.asking import by_service
from classifier.cli.job import Job
from classifier.cli.output import Output
from classifier.cli.reading import Columns, read_rows
from classifier.cli.signals import stop_on_signal
from classifier.config.load import SHIPPED
from classifier.errors import ConfigError
from classifier.money import usd
from classifier.settings import PREFIX, Settings

TICKETS = SHIPPED / "tickets.jsonl"
_LESSONS = ("--knowledge", str(SHIPPED / "phrases.jsonl"), "--train", str(TICKETS))
_START_S = 60.0
_STOP_S = 10.0
_TICKETS_PER_DAY = 50_000
_CLAIMED_SAVING = 0.9
_INTERRUPTED = 130
_TRY = """curl -s http://127.0.0.1:{port}/classify -H 'Content-Type: application/json' \\
  -d '{{"subject": "Invoice 4471", "body": "You charged my card twice this month!"}}'"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="exit after the table")
    parser.add_argument("--port", type=int, default=8000, help="port of the service (8000)")


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    return asyncio.run(_demo(options, environ))


async def _demo(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    console = tally.console()
    _check_free(options.port)
    simulator_port = _free_port()
    url = f"http://127.0.0.1:{options.port}"
    service_environ = _service_environ(environ, simulator_port)
    async with contextlib.AsyncExitStack() as stack:
        stopped = stop_on_signal()
        console.print("starting the simulated model server …")
        simulate = ["simulate", "--port", str(simulator_port), *_LESSONS]
        simulator = await stack.enter_async_context(_process(simulate, _simulator_environ(environ)))
        await _answers(f"http://127.0.0.1:{simulator_port}/", simulator, stopped)
        console.print(f"starting the service on {url} …")
        serve = ["serve", "--config", str(SHIPPED / "demo.toml"), "--port", str(options.port)]
        service = await stack.enter_async_context(_process(serve, service_environ))
        await _answers(f"{url}/readyz", service, stopped)
        if stopped.is_set():
            return _INTERRUPTED
        replayed = await _replay(url, console, stopped)
        if options.once or stopped.is_set():
            return 1 if replayed.failed else 0
        console.print(
            f"\nstill serving; try (ctrl-c ends it):\n\n{_TRY.format(port=options.port)}\n"
        )
        console.print(f"API: {url}/schema   metrics: {url}/metrics", highlight=False)
        await _first([stopped.wait(), simulator.wait(), service.wait()])
        return 0 if stopped.is_set() else 1


async def _replay(url: str, console: Console, stopped: asyncio.Event) -> tally.Tally:
    rows = list(read_rows(str(TICKETS), "ndjson", Columns({})))
    console.print(f"replaying {len(rows)} sample tickets …")
    job = Job(Output(os.devnull, fresh=True), stopped, tally.console(stderr=True))
    async with by_service(url, Settings(), None, use_cache=True) as ask:
        await job.run(ask, rows, concurrency=8, total=len(rows))
    console.print(job.tally.table(_TICKETS_PER_DAY))
    console.print(job.tally.summary(), highlight=False)
    console.print(await _savings(url, job.tally), highlight=False)
    return job.tally


async def _savings(url: str, replayed: tally.Tally) -> str:
    """The claim of the saving against what the service's own metrics say; whatever comes out."""
    async with httpx2.AsyncClient() as client:
        page = (await client.get(f"{url}/metrics")).text
    prefix = 'classifier_counterfactual_cost_dollars_total{path="long"'
    amounts = [line.rsplit(" ", 1)[1] for line in page.splitlines() if line.startswith(prefix)]
    alone = sum(round(float(amount) * 1e9) for amount in amounts)
    if not alone:
        return "no price for the long path: the saving cannot be told"
    paid = replayed.total.nanodollars
    saving = 1 - paid / alone
    verdict = "holds" if saving >= _CLAIMED_SAVING else "does not hold"
    return (
        f"long path alone, uncached: ${usd(alone)}; paid: ${usd(paid)} "
        f"(saving {saving:.0%}; the claim of 90 % {verdict} here; simulated)"
    )


def _simulator_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the service's settings concerns the simulator."""
    return {name: value for name, value in environ.items() if not name.startswith(PREFIX)}


def _service_environ(environ: Mapping[str, str], simulator_port: int) -> dict[str, str]:
    overrides = {
        "CLASSIFIER_ENDPOINT_SIMULATOR_URL": f"http://127.0.0.1:{simulator_port}/v1",
        "CLASSIFIER_HOST": "127.0.0.1",
        "CLASSIFIER_AUTH": "none",
        "CLASSIFIER_LOG_LEVEL": "warning",
    }
    if environ.get("CLASSIFIER_REDIS_URL") and not environ.get("CLASSIFIER_CACHE_SECRET"):
        overrides["CLASSIFIER_CACHE_SECRET"] = secrets.token_hex(16)
    return {**environ, **overrides}


@contextlib.asynccontextmanager
async def _process(arguments: list[str], environ: dict[str, str]) -> AsyncIterator[Process]:
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
    deadline = asyncio.get_running_loop().time() + _START_S
    async with httpx2.AsyncClient() as client:
        while asyncio.get_running_loop().time() < deadline and not stopped.is_set():
            if process.returncode is not None:
                raise ConfigError("it could not be started; its message stands above")
            with contextlib.suppress(httpx2.HTTPError):
                if (await client.get(url)).status_code == httpx2.codes.OK:
                    return
            await asyncio.sleep(0.1)
    if stopped.is_set():
        return
    raise ConfigError(f"{url} did not answer within {_START_S:.0f} s")


async def _first(waits: list[Coroutine[Any, Any, Any]]) -> None:
    tasks = [asyncio.create_task(wait) for wait in waits]
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(f"port {port} is taken; choose another: --port N") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
