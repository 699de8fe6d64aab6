"""The simulator's front door, its builder and the server that carries it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from random import Random
from time import perf_counter

import uvicorn

from classifier.simulator import asgi
from classifier.simulator.asgi import Answer, Headers, Message, Receive, Request, Send
from classifier.simulator.calls import Calls
from classifier.simulator.chat import ChatDialect
from classifier.simulator.config import SimulatorConfig, Skill
from classifier.simulator.control import Control
from classifier.simulator.decisions import DecisionsDialect
from classifier.simulator.extras import NEEDED, require
from classifier.simulator.faults import FaultBook
from classifier.simulator.models import Models
from classifier.simulator.opinion import Reader
from classifier.simulator.prompt_cache import PromptCache
from classifier.simulator.refusals import Refused
from classifier.simulator.rows import Row
from classifier.simulator.stats import Stats
from classifier.simulator.vocabulary import Vocabulary
from classifier.taxonomy import Taxonomy

Handler = Callable[[Request, int], Answer]
Routes = dict[tuple[str, str], Handler]

KEEP_ALIVE_S = 75
_SHUTDOWN_S = 2  # hanging answers are not waited for
_SAME_HEADERS: Headers = (
    (b"x-simulated", b"1"),
    (b"openai-version", b"2020-10-01"),
    (b"openai-organization", b"simulated"),
    (b"x-ratelimit-limit-requests", b"10000"),
    (b"x-ratelimit-remaining-requests", b"9999"),
    (b"x-ratelimit-reset-requests", b"6ms"),
    (b"x-ratelimit-limit-tokens", b"2000000"),
    (b"x-ratelimit-remaining-tokens", b"1999000"),
    (b"x-ratelimit-reset-tokens", b"30ms"),
)


def build(
    config: SimulatorConfig,
    taxonomy: Taxonomy,
    training: Sequence[Row] = (),
    seed: int = 0,
    *,
    knowledge: Sequence[Row] = (),
) -> Simulator:
    """Trains the readers, then assembles; `training` and `knowledge` hold (text, label).

    `knowledge` is what every model knows of the world's tickets, `training` what a fine-tune saw.
    Takes 1 to 4 s. Raises ConfigError without the `simulator` extra, and for a training label
    that the taxonomy does not have.
    """
    return assemble(config, taxonomy, _readers(config, taxonomy, training, knowledge), seed)


def assemble(
    config: SimulatorConfig, taxonomy: Taxonomy, readers: Mapping[Skill, Reader], seed: int
) -> Simulator:
    """Puts the simulator together with readers that are trained already."""
    vocabulary = Vocabulary()
    stats, faults, cache = Stats(), FaultBook(Random(f"{seed}:faults")), PromptCache()
    models = Models(config, readers, taxonomy.abstain, seed)
    chat = Calls(ChatDialect(taxonomy, vocabulary), models, faults, cache, stats)
    decisions = Calls(DecisionsDialect(vocabulary), models, faults, cache, stats)
    routes = _control_routes(Control(models, faults, stats))
    routes["POST", "/v1/chat/completions"] = chat.answer
    routes["POST", "/v1/decisions"] = decisions.answer
    return Simulator(routes)


def _readers(
    config: SimulatorConfig, taxonomy: Taxonomy, training: Sequence[Row], knowledge: Sequence[Row]
) -> dict[Skill, Reader]:
    """A reader for each skill that is asked for."""
    require(*NEEDED)
    from classifier.simulator.training import train  # noqa: PLC0415 (needs the optional libraries)

    learned: dict[Skill, Sequence[Row]] = {
        "examples": knowledge,
        "tickets": [*knowledge, *training],
    }
    used = {model.reads for model in config.models}
    return {skill: train(taxonomy, rows) for skill, rows in learned.items() if skill in used}


def _control_routes(control: Control) -> Routes:
    handlers: dict[tuple[str, str], Callable[[Request], Answer]] = {
        ("GET", "/"): control.what_it_is,
        ("GET", "/v1/models"): control.list_models,
        ("GET", "/simulator/stats"): control.show_stats,
        ("POST", "/simulator/reset"): control.reset_stats,
        ("GET", "/simulator/faults"): control.show_faults,
        ("POST", "/simulator/faults"): control.add_fault,
        ("DELETE", "/simulator/faults"): control.clear_faults,
    }
    return {key: _without_number(handler) for key, handler in handlers.items()}


def _without_number(handler: Callable[[Request], Answer]) -> Handler:
    return lambda request, _: handler(request)


class Simulator:
    """An ASGI app. Every answer says that it is simulated."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._numbers = count(1)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = await asgi.read(scope, receive)
        started = perf_counter()
        number = next(self._numbers)
        answer = self._answer(request, number)
        # what was spent on thinking is part of the time that was drawn
        spent_s = perf_counter() - started
        if answer.took_s > spent_s:
            await asyncio.sleep(answer.took_s - spent_s)
        await asgi.deliver(answer, _headers(answer, number), receive, send)

    def _answer(self, request: Request, number: int) -> Answer:
        try:
            return self._handler(request)(request, number)
        except Refused as refused:
            return refused.answer()

    def _handler(self, request: Request) -> Handler:
        handler = self._routes.get((request.method, request.path))
        if handler is not None:
            return handler
        methods = [method for method, path in self._routes if path == request.path]
        if methods:
            raise Refused(405, f"{request.path} takes {' or '.join(methods)}")
        raise Refused(404, f"there is no {request.path} here. (simulated)", code="unknown_url")


def _headers(answer: Answer, number: int) -> Headers:
    return (
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
        (b"x-request-id", b"req_simulated_%d" % number),
        (b"openai-processing-ms", b"%d" % round(1_000 * answer.took_s)),
        *_SAME_HEADERS,
        *answer.headers,
    )


def server(app: asgi.ASGIApp, host: str, port: int) -> uvicorn.Server:
    """A server for the app: `.run()` blocks until a signal, `await .serve()` lives in a loop."""
    logging.getLogger("uvicorn.error").addFilter(_not_a_cut)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=_SHUTDOWN_S,
            backlog=4_096,
        )
    )


def _not_a_cut(record: logging.LogRecord) -> bool:
    """An answer without its end is what the fault `cut` is for, not an error."""
    return "without completing response" not in record.getMessage()
