"""The helpdesk that sends tickets: open loop, counted from the instant they were due.

One Locust user, a pool of greenlets. Arrivals never wait for answers: a service that stalls finds
its queue when it wakes, as it would in real life, and the waiting is counted.
"""

from __future__ import annotations

import gc
import os
import secrets
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import gevent
from gevent.pool import Pool
from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.answers import Answer, Times, read_answer
from loadtests.desk import DONE, SAMPLES, Desk
from loadtests.samples import Sample
from loadtests.scenario import plan
from loadtests.scenarios import find
from loadtests.schedule import Arrival, schedule, warm_up
from loadtests.settings import read_settings
from loadtests.traffic import read_rows
from loadtests.webhooks import signed

SETTINGS = read_settings(os.environ)
PLAN = plan(find(SETTINGS.scenario), SETTINGS)
ROWS = read_rows(SETTINGS.data)
_TICK_S = 0.01
_REPORT_S = 2.0
_LAST_ANSWERS_S = 40.0  # more than any ticket's budget
_CONNECTIONS = 2_000


class Helpdesk(FastHttpUser):
    """Sends one scenario's tickets, or this worker's part of them, and ends."""

    host = SETTINGS.target
    fixed_count = 1
    concurrency = _CONNECTIONS
    connection_timeout = 5.0
    network_timeout = 35.0
    default_headers = (
        {"Authorization": f"Bearer {SETTINGS.api_key}"}
        if SETTINGS.api_key and not PLAN.scenario.config
        else None
    )

    def on_start(self) -> None:
        self._mark = secrets.token_hex(3)  # no cache knows it from an earlier run
        self._samples: list[Sample] = []
        self._lags_ms: list[float] = []
        self._spent = 0
        self._started = 0.0
        warming = Pool()
        for arrival in warm_up(ROWS, PLAN.scenario.arms, self._mark):
            warming.spawn(self._send, arrival, perf_counter())
        warming.join()
        self._samples.clear()
        gc.collect()
        gc.freeze()  # a full collection of what is loaded would stop all arrivals

    @task
    def send_everything(self) -> None:
        runner = self.environment.runner
        workers = max(1, self.environment.parsed_options.expect_workers)
        mine = schedule(
            PLAN, ROWS, SETTINGS.seed, self._mark, index=runner.worker_index, workers=workers
        )
        side = [gevent.spawn(self._watch_lag), gevent.spawn(self._report_regularly)]
        pool = Pool(_CONNECTIONS)
        runner.send_message(SAMPLES, {"samples": [], "started": True})
        self._started = perf_counter()
        for arrival in mine:
            due = self._started + arrival.due_s
            gevent.sleep(max(0.0, due - perf_counter()))
            if self._spent * workers > SETTINGS.max_usd * 1e9:
                break
            pool.spawn(self._send, arrival, due)
        pool.join(timeout=_LAST_ANSWERS_S)
        gevent.killall(side)
        self._report()
        runner.send_message(DONE, {"lags_ms": self._lags_ms, "cut": self._cut(pool, workers)})
        gevent.sleep(_LAST_ANSWERS_S)  # the end is told from outside

    def _cut(self, pool: Pool, workers: int) -> str:
        if len(pool):
            return f"{len(pool)} tickets had no answer after {_LAST_ANSWERS_S:.0f} s"
        spent = self._spent * workers / 1e9  # the others have spent as much
        return f"stopped after ${spent:.2f} of real money" if spent > SETTINGS.max_usd else ""

    def _send(self, arrival: Arrival, due: float) -> None:
        sent = perf_counter()
        with self.client.post(
            arrival.route,
            data=arrival.body,  # type: ignore[arg-type]  # bytes are what it sends in the end
            headers=_headers(arrival),
            name=self._name(arrival),
            catch_response=True,
        ) as response:
            times = Times(self._started, due, sent, perf_counter())
            sample = read_answer(arrival, _answer(response), times)
            # Locust's own statistics count from the scheduled instant, too
            response.request_meta["response_time"] = sample.latency_ms
            if sample.ok:
                response.success()
            else:
                response.failure(sample.problem)
        self._samples.append(sample)
        if not sample.simulated:
            self._spent += sample.nanodollars or 0

    def _name(self, arrival: Arrival) -> str:
        """In Locust's own statistics."""
        return f"{PLAN.scenario.name}: {arrival.arm.name}" if self._started else "warm-up"

    def _watch_lag(self) -> None:
        """How late this process wakes up, whether or not a ticket is due."""
        while True:
            due = perf_counter() + _TICK_S
            gevent.sleep(_TICK_S)
            self._lags_ms.append(1e3 * max(0.0, perf_counter() - due))

    def _report_regularly(self) -> None:
        while True:
            gevent.sleep(_REPORT_S)
            self._report()

    def _report(self) -> None:
        """To the master; without workers that is this process."""
        samples, self._samples = self._samples, []
        rows = [list(sample) for sample in samples]
        self.environment.runner.send_message(SAMPLES, {"samples": rows})


def _headers(arrival: Arrival) -> dict[str, str]:
    """A delivery proves itself by a signature of this moment; its secret stands for the key."""
    proof = signed(SETTINGS.api_key, arrival.body) if arrival.arm.door else {}
    return {"Content-Type": arrival.media_type, **proof}


def _answer(response: Any) -> Answer:
    if response.status_code == 0:
        return Answer(0, b"", {}, type(response.error).__name__)
    headers: Mapping[str, str] = {
        name: response.headers[name]
        for name in ("server-timing", "retry-after")
        if name in response.headers
    }
    return Answer(response.status_code, response.content or b"", headers)


@events.init.add_listener  # type: ignore[untyped-decorator]
def _set_up(environment: Environment, **_: Any) -> None:
    """Master and single process keep the samples and give the verdict; workers only send."""
    options: Any = environment.parsed_options
    if isinstance(environment.runner, WorkerRunner):
        return
    workers = max(1, options.expect_workers)
    Helpdesk.fixed_count = options.num_users = options.spawn_rate = workers
    Desk(environment, SETTINGS, PLAN, workers).listen()
