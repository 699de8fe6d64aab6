"""Every key of the config file: frozen records with their limits, defaults and meaning."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from classifier.config.budget import Budget
from classifier.config.edge import Connections
from classifier.config.guards import Breaker, Hedge, Retry
from classifier.config.helpdesks import Helpdesk
from classifier.config.inbox import Inbox
from classifier.config.ledger import Ledger
from classifier.config.overload import Overload
from classifier.config.section import Name, Seconds, Section, Share
from classifier.taxonomy import Taxonomy

BaseUrl = Annotated[str, Meta(pattern=r"^https?://[^\s]+$")]
_YEAR_S = 31_536_000  # no time to live is longer: Redis takes no infinity


class Server(Section, frozen=True, kw_only=True):
    """Limits of the HTTP door. `auth` may be overridden by CLASSIFIER_AUTH."""

    auth: Annotated[
        Literal["bearer", "none"],
        Meta(description="`bearer` wants a key on every ticket; `none` only on a loopback address"),
    ] = "bearer"
    timeout_s: Annotated[
        Seconds, Meta(description="time budget of a ticket without `X-Timeout-Ms`")
    ] = 8.0
    batch_timeout_s: Annotated[
        Seconds, Meta(description="the same for each line of a batch, from its turn on")
    ] = 20.0
    max_timeout_s: Annotated[
        Seconds, Meta(description="cap on what `X-Timeout-Ms` may ask for")
    ] = 30.0
    max_body_bytes: Annotated[
        int, Meta(ge=1_024, le=16_777_216, description="largest ticket, in bytes of JSON")
    ] = 262_144
    max_batch_bytes: Annotated[
        int, Meta(ge=1_024, le=1_073_741_824, description="largest batch, in bytes of NDJSON")
    ] = 16_777_216
    max_batch_lines: Annotated[
        int, Meta(ge=1, le=10_000_000, description="most lines of one batch")
    ] = 100_000
    batch_concurrency: Annotated[
        int, Meta(ge=1, le=256, description="tickets of one batch that are asked side by side")
    ] = 16
    console: Annotated[
        bool,
        Meta(description="whether `/` serves the console; its state wants a key like a ticket"),
    ] = True
    allow_forced_path: Annotated[
        bool, Meta(description="whether `?path=NAME` may force a path past the routes")
    ] = True


class Endpoint(Section, frozen=True, kw_only=True):
    """A server that speaks the OpenAI protocol: OpenAI, Azure, vLLM, a gateway, the simulator."""

    base_url: Annotated[
        BaseUrl,
        Meta(description="up to and including `/v1`; CLASSIFIER_ENDPOINT_<NAME>_URL overrides it"),
    ]
    api_key_env: (
        Annotated[str, Meta(description="environment variable that holds the key")] | None
    ) = None
    api_key_file: (
        Annotated[str, Meta(description="file that holds the key; read at start and reload")] | None
    ) = None
    ca_file: (
        Annotated[
            str,
            Meta(
                description="certificate authorities (PEM) instead of the system's, for a server of "
                "your own; read again when it changes"
            ),
        ]
        | None
    ) = None
    proxy: (
        Annotated[
            BaseUrl,
            Meta(description="HTTP proxy for this endpoint; HTTPS_PROXY and the like are not read"),
        ]
        | None
    ) = None
    keepalive_s: Annotated[
        float, Meta(ge=60.0, le=3_600.0, description="how long an idle connection is kept open")
    ] = 300.0
    connect_timeout_s: Annotated[Seconds, Meta(description="limit for opening a connection")] = 1.0
    max_connections: Annotated[
        int, Meta(ge=1, le=4_096, description="connections open at once")
    ] = 256
    headers: Annotated[dict[str, str], Meta(description="extra headers on every call")] = field(
        default_factory=dict
    )


class Options(Section, frozen=True, kw_only=True):
    """Request options of a path; what is not set is not sent."""

    max_output_tokens: Annotated[
        int,
        Meta(ge=0, le=4_096, description="`max_completion_tokens` of a chat call; 0 sends none"),
    ] = 16
    temperature: Annotated[float, Meta(ge=0.0, le=2.0, description="chat only")] | None = None
    seed: Annotated[int, Meta(description="chat only")] | None = None
    logprobs: Annotated[
        bool, Meta(description="ask a chat model for token log probabilities: the confidence")
    ] = True
    reasoning_effort: (
        Annotated[str, Meta(description="chat only; `none` for models that reason by default")]
        | None
    ) = None
    service_tier: (
        Annotated[str, Meta(description="chat only: `default`, `flex`, `priority`, `fast`")] | None
    ) = None
    prompt_cache_key: (
        Annotated[str, Meta(description="routing hint for the vendor's prompt cache")] | None
    ) = None
    extra_body: Annotated[
        dict[str, Any], Meta(description="merged into the request as it stands")
    ] = field(default_factory=dict)


class PathConfig(Section, frozen=True, kw_only=True):
    """One way to ask a model: backend kind + endpoint + model + prompt + price."""

    kind: Annotated[
        Literal["chat", "decisions"],
        Meta(description="`chat`: chat completions; `decisions`: a probability per label"),
    ]
    endpoint: Annotated[Name, Meta(description="a name under `[endpoints]`")]
    model: Annotated[
        str, Meta(min_length=1, description="as the endpoint calls it; LoRA adapters too")
    ]
    prompt: Annotated[
        str, Meta(min_length=1, description="template file, relative to the config file")
    ]
    timeout_s: Annotated[Seconds, Meta(description="deadline of one attempt")] = 4.0
    retries: Annotated[
        int,
        Meta(
            ge=0,
            le=3,
            description="most further attempts of one ticket; `retry` bounds those of all",
        ),
    ] = 1
    price: (
        Annotated[str, Meta(description="name in the price table, where it differs from `model`")]
        | None
    ) = None
    static_tokens: (
        Annotated[
            int,
            Meta(
                ge=0,
                description="tokens of the prompt without the ticket, as `classifier prompt` counts them; "
                "counted at start when the `tokens` extra is installed",
            ),
        ]
        | None
    ) = None
    max_ticket_chars: Annotated[
        int, Meta(ge=100, le=1_000_000, description="longer tickets keep their head and tail")
    ] = 12_000
    breaker: Breaker = field(default_factory=Breaker)
    retry: Retry = field(default_factory=Retry)
    hedge: Hedge | None = None
    options: Options = field(default_factory=Options)


class When(Section, frozen=True, kw_only=True):
    """Conditions of a route; all that are set must hold."""

    languages: Annotated[
        tuple[str, ...],
        Meta(description="the ticket's language is one of these; `en` takes `en-US` too"),
    ] = ()
    channels: Annotated[
        tuple[str, ...], Meta(description="the ticket's channel is one of these")
    ] = ()
    tags: Annotated[
        tuple[str, ...], Meta(description="the ticket has at least one of these tags")
    ] = ()
    min_chars: Annotated[
        int, Meta(ge=0, description="subject and body have at least so many characters")
    ] = 0
    max_chars: Annotated[int, Meta(ge=0, description="and at most so many")] | None = None
    share: Annotated[Share, Meta(description="this part of the tickets, chosen by ticket id")] = 1.0


class Escalate(Section, frozen=True, kw_only=True):
    """Where a ticket goes when the answer is unsure, abstains or is no label."""

    to: Annotated[Name, Meta(description="the path that is asked next")]
    below: Annotated[
        Share, Meta(description="confidence under which it is asked; unknown confidence never is")
    ] = 0.6


class Shadow(Section, frozen=True, kw_only=True):
    """A path that is asked beside the answer, off its critical path, only to be measured."""

    path: Annotated[Name, Meta(description="the path that is measured")]
    share: Annotated[Share, Meta(description="part of the tickets, chosen by ticket id")] = 0.01


class Route(Section, frozen=True, kw_only=True):
    """One rule: the first route whose `when` holds decides the plan."""

    name: Annotated[Name, Meta(description="in logs; no two routes share one")]
    when: When = field(default_factory=When)
    path: Annotated[Name, Meta(description="the path that is asked first")] | None = None
    split: Annotated[
        dict[Name, Share],
        Meta(description="instead of `path`: shares that add up to 1, sticky by ticket id"),
    ] = field(default_factory=dict)
    escalate: Annotated[
        Escalate | tuple[Escalate, ...],
        Meta(description="one step, or several one after another, cheapest first"),
    ] = ()
    fallback: Annotated[
        tuple[Name, ...], Meta(description="asked in turn after an error or a timeout")
    ] = ()
    shadow: Shadow | None = None


class Cache(Section, frozen=True, kw_only=True):
    """Answers by text. Redis comes from CLASSIFIER_REDIS_URL and is optional at any moment."""

    enabled: Annotated[
        bool, Meta(description="false asks a model for every ticket, even a repeated one")
    ] = True
    ttl_s: Annotated[float, Meta(gt=0, le=_YEAR_S, description="how long an answer lives")] = (
        86_400.0
    )
    abstain_ttl_s: Annotated[
        float,
        Meta(ge=0, le=_YEAR_S, description="how long an abstention lives; 0 does not cache it"),
    ] = 60.0
    memory_entries: Annotated[
        int, Meta(ge=0, le=10_000_000, description="bound of the in-process tier")
    ] = 10_000
    memory_ttl_s: Annotated[
        float, Meta(gt=0, le=_YEAR_S, description="lifetime in the in-process tier above Redis")
    ] = 600.0
    redis_timeout_s: Annotated[
        float, Meta(gt=0, le=1.0, description="all that Redis may cost a ticket")
    ] = 0.05
    redis_connections: Annotated[
        int, Meta(ge=1, le=1_024, description="connections to Redis open at once")
    ] = 32
    across_replicas: Annotated[
        bool,
        Meta(
            description="identical tickets at one moment on several replicas wait for one of them; needs Redis"
        ),
    ] = True
    breaker_failures: Annotated[
        int, Meta(ge=1, description="failures in a row after which Redis is left alone")
    ] = 5
    breaker_probe_s: Annotated[
        Seconds, Meta(description="pause between probes of a Redis that is left alone")
    ] = 1.0


class Price(Section, frozen=True, kw_only=True):
    """Dollars per million tokens of one model (and service tier)."""

    model: Annotated[
        str,
        Meta(
            min_length=1, description="as in a path's `price` or `model`; `ft:BASE` is a fine-tune"
        ),
    ]
    tier: Annotated[str, Meta(description="service tier that the rates hold for")] = "default"
    input: Annotated[Decimal, Meta(description="input tokens")]
    output: Annotated[Decimal, Meta(description="output tokens")]
    cached_input: (
        Annotated[Decimal, Meta(description="cached input; without it: as input")] | None
    ) = None
    cache_write: (
        Annotated[Decimal, Meta(description="cache writes; without it: as input")] | None
    ) = None


class Prices(Section, frozen=True, kw_only=True):
    """The price table. `as_of` says when somebody last compared it with the vendors' pages."""

    as_of: Annotated[
        str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="day of the last comparison")
    ]
    models: tuple[Price, ...] = ()

    def __post_init__(self) -> None:
        date.fromisoformat(self.as_of)  # raises ValueError for a day that no calendar has


class Claims(Section, frozen=True, kw_only=True):
    """What is claimed, exported beside what is measured; never used as a result."""

    latency_s: Annotated[dict[Name, Seconds], Meta(description="claimed latency per path")] = field(
        default_factory=dict
    )
    savings_ratio: Annotated[Share, Meta(description="claimed saving against the base path")] = 0.9
    base_path: Annotated[Name, Meta(description="the path that savings are measured against")] = (
        "long"
    )
    tickets_per_day: Annotated[int, Meta(ge=1, description="claimed volume")] = 50_000
    budget_usd_per_day: Annotated[
        Decimal, Meta(description="spend on models that is planned for, alerts fire above; 0: none")
    ] = Decimal(0)

    def __post_init__(self) -> None:
        if not self.budget_usd_per_day.is_finite() or self.budget_usd_per_day < 0:
            raise ValueError("budget_usd_per_day must be a number of dollars from 0 on")


class Config(Section, frozen=True, kw_only=True):
    """The whole file."""

    include: Annotated[
        tuple[str, ...],
        Meta(description="files with further tables; a table stands in one file only"),
    ] = ()
    taxonomy: Taxonomy
    endpoints: Annotated[dict[Name, Endpoint], Meta(min_length=1)]
    paths: Annotated[dict[Name, PathConfig], Meta(min_length=1)]
    routes: tuple[Route, ...] = ()
    server: Server = field(default_factory=Server)
    connections: Connections = field(default_factory=Connections)
    cache: Cache = field(default_factory=Cache)
    overload: Overload = field(default_factory=Overload)
    prices: Prices
    claims: Claims = field(default_factory=Claims)
    budget: Budget = field(default_factory=Budget)
    helpdesks: tuple[Helpdesk, ...] = ()
    inbox: Inbox = field(default_factory=Inbox)
    ledger: Ledger = field(default_factory=Ledger)
