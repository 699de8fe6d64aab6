"""Which plan for this ticket: a pure walk over ordered routes, first match wins."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b

from msgspec import Struct

from classifier.config.schema import Escalate, Route, When
from classifier.errors import ConfigError
from classifier.records import Ticket

_TWO_TO_64 = 2**64
_ROUNDING = 1e-9
FORCED = "forced"


class Plan(Struct, frozen=True):
    """What to ask, in which order. A path that was asked once is passed over when it comes up again."""

    route: str
    path: str
    escalate: tuple[Escalate, ...] = ()
    fallback: tuple[str, ...] = ()
    shadow: str | None = None
    confined: bool = False  # second calls, too, go to its own paths only

    def may_hedge(self, path: str) -> bool:
        own = (self.path, *(step.to for step in self.escalate), *self.fallback)
        return not self.confined or path in own


class Router:
    """The compiled routes. Raises ConfigError at start for a plan that cannot work."""

    def __init__(self, routes: tuple[Route, ...], paths: Collection[str]) -> None:
        takes_all = any(route.when == When() for route in routes)
        self._routes = routes if takes_all else (*routes, *default_routes(paths))
        for route in self._routes:
            _check(route, paths)
        _refuse_doubles([FORCED, *(route.name for route in self._routes)])

    @property
    def answering(self) -> frozenset[str]:
        """Every path that some route's plan may answer by; shadows and unrouted paths do not count."""
        return frozenset(name for route in self._routes for name in _answering(route))

    def choose(self, ticket: Ticket, sticky_id: str) -> Plan:
        """The plan of the first route that matches; one without `when`, or the default, always does.

        `sticky_id` decides shares and splits: the same id always goes the same way.
        """
        route = next(r for r in self._routes if _matches(r, ticket, sticky_id))
        return _plan(route, sticky_id)

    def forced(self, path: str) -> Plan:
        """Exactly this path and nothing else."""
        return Plan(FORCED, path)


def default_routes(paths: Collection[str]) -> tuple[Route, ...]:
    """`short`, escalating and falling back to `long`; with other names, the first path alone."""
    if "short" in paths and "long" in paths:
        return (
            Route(name="default", path="short", escalate=Escalate(to="long"), fallback=("long",)),
        )
    return (Route(name="default", path=next(iter(paths))),)


def position(sticky_id: str, salt: str) -> float:
    """A place in [0, 1) that depends on nothing but id and salt: evenly spread and sticky."""
    digest = blake2b(sticky_id.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode())
    return int.from_bytes(digest.digest()) / _TWO_TO_64


def _matches(route: Route, ticket: Ticket, sticky_id: str) -> bool:
    when = route.when
    return (
        _speaks(ticket.language, when.languages)
        and _in(ticket.channel, when.channels)
        and (not when.tags or not set(when.tags).isdisjoint(ticket.tags))
        and _size_fits(ticket, when)
        and (when.share >= 1.0 or position(sticky_id, f"when:{route.name}") < when.share)
    )


def _speaks(language: str | None, allowed: tuple[str, ...]) -> bool:
    """`en` takes `en-US` too (RFC 4647 §3.3.1); `en-US` takes only itself."""
    primary = None if language is None else language.partition("-")[0]
    return _in(language, allowed) or _in(primary, allowed)


def _in(value: str | None, allowed: tuple[str, ...]) -> bool:
    return not allowed or (value is not None and value.casefold() in map(str.casefold, allowed))


def _size_fits(ticket: Ticket, when: When) -> bool:
    size = len(ticket.subject) + len(ticket.body)
    return size >= when.min_chars and (when.max_chars is None or size <= when.max_chars)


def _plan(route: Route, sticky_id: str) -> Plan:
    shadow = route.shadow
    asked = shadow is not None and position(sticky_id, f"shadow:{route.name}") < shadow.share
    return Plan(
        route.name,
        route.path or _split(route, sticky_id),
        _steps(route),
        route.fallback,
        shadow.path if shadow and asked else None,
    )


def _answering(route: Route) -> list[str]:
    first = [route.path] if route.path else list(route.split)
    return [*first, *(step.to for step in _steps(route)), *route.fallback]


def _split(route: Route, sticky_id: str) -> str:
    place = position(sticky_id, f"split:{route.name}")
    reached = 0.0
    for path, share in route.split.items():
        reached += share
        if place < reached:
            return path
    return next(path for path, share in reversed(route.split.items()) if share > 0)


def _steps(route: Route) -> tuple[Escalate, ...]:
    return route.escalate if isinstance(route.escalate, tuple) else (route.escalate,)


def _check(route: Route, paths: Collection[str]) -> None:
    where = f"route {route.name!r}"
    if bool(route.path) == bool(route.split):
        raise ConfigError(f"{where}: set either `path` or `split`")
    if route.split and abs(sum(route.split.values()) - 1.0) > _ROUNDING:
        raise ConfigError(f"{where}: the shares of `split` must add up to 1")
    first = [route.path] if route.path else list(route.split)
    steps = [step.to for step in _steps(route)]
    shadow = [route.shadow.path] if route.shadow else []
    for name in [*_answering(route), *shadow]:
        if name not in paths:
            raise ConfigError(f"{where}: unknown path {name!r}; there are: {', '.join(paths)}")
    if route.shadow and route.shadow.path == route.path:
        raise ConfigError(f"{where}: a shadow of its own path measures nothing")
    _refuse_repeats(f"{where}: escalation loop", [*first[: bool(route.path)], *steps])
    _refuse_repeats(f"{where}: useless fallback", [*first[: bool(route.path)], *route.fallback])


def _refuse_doubles(names: list[str]) -> None:
    """A plan is known by its route's name, in logs and where fingerprints are kept."""
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"route {name!r}: the name is taken; {FORCED!r} is a ticket's own wish and "
                "'default' the built-in route for tickets that no other route takes"
            )


def _refuse_repeats(what: str, names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise ConfigError(f"{what}: {' -> '.join(names)} asks a path twice")
