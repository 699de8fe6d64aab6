"""The console: one self-contained page at `/`, and the state that it shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litestar import MediaType, Request, Response, get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from classifier import __version__
from classifier.api.auth import Doorkeeper
from classifier.assembly import Assembly
from classifier.health import Health
from classifier.money import usd
from classifier.paths.path import Path as ModelPath
from classifier.recent import Recent, Window

_PAGE = Path(__file__).parent / "console.html"
# Everything comes from the page itself: injected markup could load nothing and send nothing.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
)


class PathState(Struct):
    """One path: what it is, whether it is up, and its last answers against the claim."""

    name: str
    kind: str
    model: str
    up: bool
    price_known: bool
    prompt_tokens: int | None
    claimed_ms: float | None
    tickets: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    usd_per_1000: str | None
    simulated: bool


class State(Struct):
    """All that the console shows. Money as decimal strings; today is the UTC day of this process.

    The saving sets what answers cost today, shadow calls aside, against what the same tickets would
    have cost on the base path alone without a cache; tickets without usage are not compared.
    """

    version: str
    simulated: bool
    paths: list[PathState]
    tickets_today: int
    cost_today_usd: str
    tickets_per_day: int
    projected_day_usd: str | None
    base_path: str
    claimed_savings: float
    measured_savings: float | None
    paid_today_usd: str
    base_path_today_usd: str
    not_compared_today: int
    savings_simulated: bool
    cache: str
    config: str
    awaiting_restart: tuple[str, ...]
    config_version: str
    taxonomy: str
    labels: int
    prices_as_of: str


def console_doors(health: Health, recent: Recent, door: Doorkeeper) -> list[HTTPRouteHandler]:
    """The page is open, it holds nothing; what it shows wants the key that tickets want."""

    @get("/", media_type=MediaType.HTML, include_in_schema=False)
    async def console() -> Response[bytes]:
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        return Response(_PAGE.read_bytes(), media_type=MediaType.HTML, headers=headers)

    @get("/console/state", summary="What the console shows", tags=["operations"])
    async def console_state(request: Request[Any, Any, Any]) -> State:
        """Paths, latency against the claims, money, cache and config; wants a key like a ticket."""
        door.check(request)
        return state(health, recent)

    return [console, console_state]


def state(health: Health, recent: Recent) -> State:
    assembly = health.assembly
    config = assembly.config
    paths = [_path_state(path, health, recent) for path in assembly.paths.values()]
    saving = recent.saving(config.claims.base_path)
    return State(
        version=__version__,
        simulated=any(path.simulated for path in paths),
        paths=paths,
        tickets_today=recent.day.tickets,
        cost_today_usd=usd(recent.day.nanodollars),
        tickets_per_day=config.claims.tickets_per_day,
        projected_day_usd=_projected(recent, config.claims.tickets_per_day),
        base_path=config.claims.base_path,
        claimed_savings=config.claims.savings_ratio,
        measured_savings=saving.ratio,
        paid_today_usd=usd(saving.paid_nanodollars),
        base_path_today_usd=usd(saving.alone_nanodollars),
        not_compared_today=saving.unknown,
        savings_simulated=saving.simulated,
        cache=health.cache(),
        config=health.config(),
        awaiting_restart=health.awaiting_restart,
        config_version=assembly.version,
        taxonomy=assembly.taxonomy_version,
        labels=len(assembly.taxonomy.labels),
        prices_as_of=assembly.prices.as_of,
    )


def _path_state(path: ModelPath, health: Health, recent: Recent) -> PathState:
    window = recent.windows.get(path.name) or Window()
    return PathState(
        name=path.name,
        kind=path.config.kind,
        model=path.config.model,
        up=health.paths().get(path.name) == "up",
        price_known=path.rate is not None,
        prompt_tokens=path.static_tokens,
        claimed_ms=_claimed_ms(health.assembly, path.name),
        tickets=len(window.latencies_ms),
        p50_ms=_rounded(window.percentile_ms(50)),
        p95_ms=_rounded(window.percentile_ms(95)),
        p99_ms=_rounded(window.percentile_ms(99)),
        usd_per_1000=_per_tickets(window.nanodollars_per_ticket(), 1_000),
        simulated=window.simulated,
    )


def _claimed_ms(assembly: Assembly, name: str) -> float | None:
    claimed_s = assembly.config.claims.latency_s.get(name)
    return None if claimed_s is None else claimed_s * 1_000


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)


def _per_tickets(nanodollars: float | None, tickets: int) -> str | None:
    return None if nanodollars is None else usd(round(nanodollars * tickets))


def _projected(recent: Recent, tickets_per_day: int) -> str | None:
    """Today's cost per answered ticket, cached ones included, times the day's tickets."""
    day = recent.day
    return _per_tickets(day.nanodollars / day.tickets, tickets_per_day) if day.tickets else None
