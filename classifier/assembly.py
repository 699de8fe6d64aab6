"""Everything that one version of the config makes: paths, routes, prices. Swapped whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter

from classifier.config.load import Loaded
from classifier.config.schema import Endpoint as EndpointConfig
from classifier.config.schema import PathConfig
from classifier.errors import ConfigError, NotFound
from classifier.fingerprints import fingerprint
from classifier.guards.guard import Guard
from classifier.guards.registry import Guards
from classifier.helpdesks.desk import Desk
from classifier.paths.chat import ChatCodec
from classifier.paths.decisions import DecisionsCodec
from classifier.paths.path import Path
from classifier.ports import Codec, Endpoint, Purse
from classifier.pricing import PriceTable, cost
from classifier.prompts import Prompt, render
from classifier.records import UNKNOWN_COST, Answer, Attempt, Cost, Ticket, Usage
from classifier.routing import Plan, Router
from classifier.taxonomy import LabelReader
from classifier.tokens import count_static

OpenEndpoint = Callable[[str, EndpointConfig], Endpoint]
GuardOf = Callable[[str, PathConfig, Endpoint], Guard]


class Assembly:
    """Promise: immutable once built; a ticket that began on one version ends on it."""

    def __init__(
        self,
        loaded: Loaded,
        open_endpoint: OpenEndpoint,
        guard_of: GuardOf | None = None,
        purse: Purse | None = None,
        helpdesks: Mapping[str, Desk] | None = None,
        now: Callable[[], float] = perf_counter,
    ) -> None:
        """Raises ConfigError for everything that could fail later: nothing is checked lazily."""
        self._purse = purse
        self.loaded = loaded
        self.config = loaded.config
        self.version = loaded.version
        self.taxonomy = loaded.config.taxonomy
        self.taxonomy_version = self.taxonomy.version
        self._names = frozenset(self.taxonomy.names)
        self.prices = PriceTable(self.config.prices)
        self._reader = LabelReader(self.taxonomy)
        self._open_endpoint = open_endpoint
        self._guard_of = guard_of or Guards(now=now).guard
        self._now = now
        self.router = Router(self.config.routes, self.config.paths)
        self.paths: Mapping[str, Path] = {
            name: self._path(name, config) for name, config in self.config.paths.items()
        }
        self._check_names("claims: latency_s", self.config.claims.latency_s)
        self._check_names("budget: paths", self.config.budget.paths)
        for name, path in self.config.paths.items():
            if path.hedge is not None and path.hedge.to is not None:
                self._check_names(f"path {name!r}: hedge", [path.hedge.to])
        self.helpdesks = helpdesks or {}
        self._check_labels()
        self._plan_fingerprints: dict[tuple[str, str], str] = {}

    def _check_labels(self) -> None:
        """Raises ConfigError for an action on a label that no ticket can get."""
        for entry in self.config.helpdesks:
            actions = entry.actions
            for name in ("tag", "field", "priority", "group", "note"):
                action = getattr(actions, name)
                named = {*getattr(action, "labels", ()), *getattr(action, "values", ())}
                if strangers := named - self._names:
                    raise ConfigError(
                        f"helpdesk {entry.name!r}: actions.{name} names {min(strangers)!r}, "
                        "which is no label of the taxonomy"
                    )

    def plan(self, ticket: Ticket, sticky_id: str, forced: str | None) -> Plan:
        """Raises NotFound for a forced path that does not exist."""
        if forced is None:
            return self.router.choose(ticket, sticky_id)
        if forced not in self.paths:
            raise NotFound(f"there is no path {forced!r}; paths: {', '.join(self.paths)}")
        return self.router.forced(forced)

    def plan_fingerprint(self, plan: Plan) -> str:
        """Names all that can change this plan's answer: taxonomy, prompts, models, parameters."""
        key = (plan.route, plan.path)
        if key not in self._plan_fingerprints:
            asked = [plan.path, *(step.to for step in plan.escalate), *plan.fallback]
            names = [*asked, *self._hedges_of(asked)]
            paths = [(name, self._path_fingerprint(name)) for name in names]
            below = [step.below for step in plan.escalate]
            self._plan_fingerprints[key] = fingerprint(self.taxonomy, paths, below)
        return self._plan_fingerprints[key]

    def answer(self, attempt: Attempt, escalated_from: str | None) -> Answer:
        """The cacheable answer that an attempt with a label stands for."""
        path = self.paths[attempt.path]
        abstained = attempt.outcome == "abstained"
        cache = self.config.cache
        usage = attempt.usage
        return Answer(
            label=attempt.label or self.taxonomy.abstain,
            confidence=attempt.confidence,
            path=attempt.path,
            model=path.config.model,
            taxonomy=self.taxonomy_version,
            prompt=path.prompt.version,
            simulated=attempt.simulated,
            escalated_from=escalated_from,
            ticket_tokens=_ticket_tokens(usage, path),
            output_tokens=usage.output_tokens if usage else 0,
            ttl_s=cache.abstain_ttl_s if abstained else cache.ttl_s,
        )

    def vetted(self, answer: Answer | None) -> Answer | None:
        """A remembered answer, when its label and path are ours: a shared store is not trusted."""
        if answer is None or answer.label not in self._names or answer.path not in self.paths:
            return None
        return answer

    def counterfactual(self, answer: Answer) -> dict[str, Cost]:
        """What this ticket would have cost on each path alone, uncached, with the same output."""
        return {name: _alone(path, answer) for name, path in self.paths.items()}

    def cheapest(self, plan: Plan) -> Plan:
        """The plan with only the cheapest of its own paths, by what a call without a ticket may cost.

        A second call that would go to another path is given up with that path.
        """
        names = [plan.path, *(step.to for step in plan.escalate), *plan.fallback]
        return Plan(plan.route, min(names, key=self._dearness), confined=True)

    def _dearness(self, name: str) -> float:
        path = self.paths[name]
        cost = path.costs_at_most(path.codec.encode(""))
        return math.inf if cost is None else cost

    def _check_names(self, where: str, names: Iterable[str]) -> None:
        if strangers := set(names) - set(self.paths):
            known = ", ".join(self.paths)
            raise ConfigError(f"{where} names no path: {min(strangers)!r}; there are: {known}")

    def _path(self, name: str, config: PathConfig) -> Path:
        if config.endpoint not in self.config.endpoints:
            known = ", ".join(self.config.endpoints)
            raise ConfigError(
                f"path {name!r}: unknown endpoint {config.endpoint!r}; there are: {known}"
            )
        prompt = render(config.prompt, self.loaded.prompt_texts[config.prompt], self.taxonomy)
        static_tokens = config.static_tokens
        if static_tokens is None:
            static_tokens = count_static(config.kind, prompt, self.taxonomy)
        try:
            codec = self._codec(config, prompt)
        except ConfigError as error:
            raise ConfigError(f"path {name!r}: {error}") from None
        endpoint = self._open_endpoint(config.endpoint, self.config.endpoints[config.endpoint])
        return Path(
            name=name,
            config=config,
            codec=codec,
            endpoint=endpoint,
            prompt=prompt,
            prices=self.prices,
            reader=self._reader,
            static_tokens=static_tokens,
            guard=self._guard_of(name, config, endpoint),
            now=self._now,
            purse=self._purse,
        )

    def _hedges_of(self, names: list[str]) -> list[str]:
        """Other paths that may answer in the place of these."""
        hedges = [self.config.paths[name].hedge for name in names]
        return [hedge.to for hedge in hedges if hedge is not None and hedge.to is not None]

    def _codec(self, config: PathConfig, prompt: Prompt) -> Codec:
        if config.kind == "chat":
            return ChatCodec(config.model, prompt, config.options, config.max_ticket_chars)
        return DecisionsCodec(
            config.model, prompt, config.options, config.max_ticket_chars, self.taxonomy
        )

    def _path_fingerprint(self, name: str) -> str:
        config = self.config.paths[name]
        endpoint = self.config.endpoints[config.endpoint]
        prompt = self.paths[name].prompt.version
        return fingerprint(
            config.kind,
            endpoint.base_url,
            endpoint.headers,
            config.model,
            prompt,
            config.options,
            config.max_ticket_chars,
        )


def _ticket_tokens(usage: Usage | None, path: Path) -> int | None:
    if usage is None or path.static_tokens is None:
        return None
    return max(0, usage.input_tokens - path.static_tokens)


def _alone(path: Path, answer: Answer) -> Cost:
    if answer.ticket_tokens is None or path.static_tokens is None or path.rate is None:
        return UNKNOWN_COST
    usage = Usage(path.static_tokens + answer.ticket_tokens, answer.output_tokens, 0, 0)
    return cost(usage, path.rate)
