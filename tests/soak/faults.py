"""The faults: what each is, how it is planted in the real house, how it is taken away again."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import trustme

from tests.soak.house import HERE, NOWHERE, House
from tests.support.proxy import FaultProxy, Mode
from tests.support.waiting import eventually

Act = Callable[[House], Awaitable[None]]
SHORT, ANY = "ft:base:org::1", "*"
HOUR_S = 3_600.0
_SAYS_WHEN = ("rate_limited", "loading")
_CLIENTS = 40
FROM_LONG = frozenset({"200 long"})
AS_EVER = frozenset({"200 short"})
SHED = frozenset({"429 overloaded"})
NOBODY = frozenset({"503 no-path-answered", "504 out-of-time"})


class Fault(NamedTuple):
    """One record of the table. `sees`: all that clients may be told while it lasts.

    `tag` sends the tickets down another route; `known` sends one ticket again and again, to be
    answered from Redis; `deadline_s` is the tickets' own, where the fault is about that.
    """

    name: str
    where: str
    planted: str
    begin: Act
    end: Act
    sees: frozenset[str]
    tag: str = ""
    known: bool = False
    deadline_s: float = 0.0
    burst: int = 0


async def _nothing(house: House) -> None:
    """A fault that ends by itself."""


# ------------------------------------------------------------------ the wire to the models


def _wire(
    name: str, mode: Mode, planted: str, sees: frozenset[str], *, both: bool = False
) -> Fault:
    def proxies(house: House) -> list[FaultProxy]:
        return [house.to_short, house.to_long] if both else [house.to_short]

    async def begin(house: House) -> None:
        for proxy in proxies(house):
            proxy.delay_s = 2 * house.pace.long_timeout_s
            await proxy.set(mode)

    async def end(house: House) -> None:
        for proxy in proxies(house):
            await proxy.set("pass")

    return Fault(
        name, "wire to both models" if both else "wire", f"proxy: {planted}", begin, end, sees
    )


async def _cut_off(proxy: FaultProxy) -> None:
    """Ends what is open, and goes on listening."""
    await proxy.set("refuse")
    await proxy.set("pass")


async def _distrust(house: House) -> None:
    trustme.CA().issue_cert("localhost").configure_cert(house.tls.context)
    await _cut_off(house.to_tls)


async def _trust(house: House) -> None:
    house.tls.prove()
    await _cut_off(house.to_tls)


async def _lose_name(house: House) -> None:
    house.point_dns_at(NOWHERE)
    await _until_seen(house, "200 long")


async def _find_name(house: House) -> None:
    house.point_dns_at(HERE)


async def _until_seen(house: House, seen: str) -> None:
    async def told() -> bool:
        return (await house.ask("dns")).seen == seen

    await eventually(told, within_s=15)


_WIRE = [
    _wire("connection refused", "refuse", "no listener", FROM_LONG),
    _wire("connection reset", "reset", "RST at the first byte", FROM_LONG),
    _wire("silence", "blackhole", "takes bytes, gives none", FROM_LONG),
    _wire("slow network", "delay", "answers later than the attempt's timeout", FROM_LONG),
    _wire("cut mid-answer", "cut", "half of the bytes, then FIN", FROM_LONG),
    _wire("both refused", "refuse", "no listener", NOBODY, both=True),
    _wire("both silent", "blackhole", "take bytes, give none", NOBODY, both=True),
    _wire("both reset", "reset", "RST at the first byte", NOBODY, both=True),
    Fault(
        "name not found", "wire", "the endpoint's host is edited to one that DNS does not know",
        _lose_name, _find_name, FROM_LONG, tag="dns",
    ),
    Fault(
        "certificate of a stranger", "wire", "the TLS server shows one that nobody signed",
        _distrust, _trust, FROM_LONG, tag="tls",
    ),
]  # fmt: skip

# ------------------------------------------------------------------ the model server


def _served(
    name: str, fault: str, planted: str, sees: frozenset[str] = FROM_LONG, model: str = SHORT
) -> Fault:
    async def begin(house: House) -> None:
        more = {"delay_s": 2 * house.pace.long_timeout_s} if fault.startswith("slow") else {}
        if fault in _SAYS_WHEN and house.pace.retry_after_s is not None:
            more["retry_after_s"] = house.pace.retry_after_s
        await house.models.plant(fault, model, **more)

    async def end(house: House) -> None:
        await house.models.heal()

    where = "both models" if model == ANY else "model"
    return Fault(name, where, f"simulated: {planted}", begin, end, sees)


async def _pause_models(house: House) -> None:
    house.models.signal(signal.SIGSTOP)


async def _resume_models(house: House) -> None:
    house.models.signal(signal.SIGCONT)
    await eventually(house.models.answers, within_s=15)


async def _kill_models(house: House) -> None:
    await house.models.die()


async def _raise_models(house: House) -> None:
    await house.models.rise()


NO_LABEL = NOBODY | {"503 no-label"}
_MODELS = [
    _served("error 500", "server_error", "500"),
    _served("overloaded", "overloaded", "503"),
    _served("a proxy's error page", "html", "502 with HTML"),
    _served("a login page", "login_page", "200 with HTML"),
    _served("wrong content type", "plain_text", "a good answer as text/plain", AS_EVER),
    _served("rate limited", "rate_limited", "429 with Retry-After"),
    _served("quota used up", "quota", "429 insufficient_quota"),
    _served("model is loading", "loading", "429 of an idle fine-tune"),
    _served("key expired", "unauthorised", "401"),
    _served("model gone", "model_gone", "404 model_not_found"),
    _served("request refused", "bad_request", "400"),
    _served("content filter", "content_filter", "400 content_filter"),
    _served("no answer", "hang", "the request stays open"),
    _served("answer in drops", "slow_body", "slower than the attempt's timeout"),
    _served("answer too late", "slow", "slower than the attempt's timeout"),
    _served("answer cut", "cut", "hangs up before the last byte"),
    _served("garbage", "garbage", "half of the JSON"),
    _served("oversize answer", "oversize", "2 MB"),
    _served("no choices", "empty_choices", "an empty list"),
    _served("label of its own", "wrong_label", "one that is not in the taxonomy"),
    _served("refusal", "refusal", "the model refuses"),
    _served("usage missing", "missing_usage", "no token counts", AS_EVER),
    _served("both rate limited", "rate_limited", "429 with Retry-After", NOBODY, ANY),
    _served("both without answer", "hang", "the requests stay open", NOBODY, ANY),
    _served("both talk nonsense", "wrong_label", "labels of their own", NO_LABEL, ANY),
    Fault(
        "model server frozen", "both models", "SIGSTOP", _pause_models, _resume_models, NOBODY
    ),
    Fault("model server killed", "both models", "SIGKILL", _kill_models, _raise_models, NOBODY),
]  # fmt: skip

# ------------------------------------------------------------------ Redis


def _redis(name: str, planted: str, begin: Act, end: Act) -> Fault:
    return Fault(name, "Redis", planted, begin, end, AS_EVER, known=True)


def _to_redis(name: str, mode: Mode, planted: str) -> Fault:
    async def begin(house: House) -> None:
        house.to_redis.delay_s = 1.0
        await house.to_redis.set(mode)

    async def end(house: House) -> None:
        await house.to_redis.set("pass")

    return _redis(name, f"proxy: {planted}", begin, end)


def _said(name: str, planted: str, begin: tuple[str, ...], end: tuple[str, ...]) -> Fault:
    async def say(house: House) -> None:
        house.redis.command(*begin)

    async def take_back(house: House) -> None:
        house.redis.command(*end)

    return _redis(name, planted, say, take_back)


async def _load(house: House) -> None:
    """For about a second: it works through its keys before it serves again."""
    house.redis.command("DEBUG", "POPULATE", "1000")
    house.redis.command("CONFIG", "SET", "key-load-delay", "700")
    _LOADING.append(asyncio.create_task(asyncio.to_thread(_reload, house)))
    await eventually(lambda: house.redis.command("GET", "x").startswith(b"-LOADING"))


def _reload(house: House) -> None:
    with contextlib.suppress(OSError):  # it answers when all is loaded
        house.redis.command("DEBUG", "RELOAD")


async def _loaded(house: House) -> None:
    await asyncio.gather(*_LOADING)
    _LOADING.clear()
    house.redis.command("FLUSHALL")


_LOADING: list[asyncio.Task[None]] = []


async def _freeze_redis(house: House) -> None:
    house.redis.pause()


async def _thaw_redis(house: House) -> None:
    house.redis.resume()


async def _kill_redis(house: House) -> None:
    house.redis.kill()


async def _raise_redis(house: House) -> None:
    await asyncio.to_thread(house.redis.start)


_REDIS = [
    _to_redis("Redis refuses", "refuse", "no listener"),
    _to_redis("Redis resets", "reset", "RST at the first byte"),
    _to_redis("Redis is silent", "blackhole", "takes bytes, gives none"),
    _to_redis("Redis is slow", "delay", "1 s an answer"),
    _to_redis("Redis' answers are cut", "cut", "half of the bytes, then FIN"),
    _redis("Redis frozen", "SIGSTOP", _freeze_redis, _thaw_redis),
    _redis("Redis killed", "SIGKILL", _kill_redis, _raise_redis),
    _redis("Redis LOADING", "DEBUG RELOAD with a delay per key", _load, _loaded),
    _said("Redis READONLY", "made a replica", ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    _said(
        "Redis OOM", "maxmemory 1, no eviction",
        ("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"),
    ),
]  # fmt: skip

# ------------------------------------------------------------------ the service's own machine


async def _cool(house: House) -> None:
    """Every connection to Redis and the models is gone when the burst comes."""
    for proxy in (house.to_redis, house.to_short, house.to_long):
        await _cut_off(proxy)


async def _exhaust_descriptors(house: House) -> None:
    """The clients are connected; not one connection more can be opened, to nobody."""
    await asyncio.gather(*(house.client.get("/healthz") for _ in range(_CLIENTS)))
    house.service.limit(resource.RLIMIT_NOFILE, house.service.next_descriptor())


async def _give_descriptors(house: House) -> None:
    house.service.limit(resource.RLIMIT_NOFILE, -1)


async def _fill_disk(house: House) -> None:
    """There is room for half a line."""
    house.service.limit(resource.RLIMIT_FSIZE, house.service.log.stat().st_size + 100)


async def _empty_disk(house: House) -> None:
    house.service.limit(resource.RLIMIT_FSIZE, -1)


def _clock(name: str, planted: str, offset_s: float) -> Fault:
    async def jump(house: House) -> None:
        house.clock_offset_s = offset_s
        await house.look()

    async def jump_back(house: House) -> None:
        house.clock_offset_s = 0.0
        await house.look()

    return Fault(name, "service", planted, jump, jump_back, AS_EVER)


_SERVICE = [
    Fault(
        "no descriptors left", "service",
        f"RLIMIT_NOFILE where it stands, then {_CLIENTS} tickets at once from clients that are connected",
        _exhaust_descriptors, _give_descriptors, AS_EVER | FROM_LONG | NOBODY | SHED, burst=_CLIENTS,
    ),
    Fault(
        "burst on cold pools", "service", "all connections are cut, then 20 tickets come at once",
        _cool, _nothing, AS_EVER | FROM_LONG | SHED, burst=20, deadline_s=2.0,
    ),
    Fault(
        "log disk full", "service", "RLIMIT_FSIZE 100 bytes above the log's size: every write fails",
        _fill_disk, _empty_disk, AS_EVER,
    ),
    _clock("clock jumps ahead", "the time of day moves by +1 h", HOUR_S),
    _clock("clock jumps back", "the time of day moves by -1 h", -HOUR_S),
    Fault(
        "no time at all", "caller", "`X-Timeout-Ms: 1`", _nothing, _nothing,
        frozenset({"504 out-of-time"}), deadline_s=0.001,
    ),
]  # fmt: skip

FAULTS = {fault.name: fault for fault in (*_WIRE, *_MODELS, *_REDIS, *_SERVICE)}
