"""What differs by deployment: CLASSIFIER_* variables, and secrets from variables or files."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from classifier.errors import ConfigError

PREFIX = "CLASSIFIER_"
MIN_SECRET = 16  # characters; shorter ones can be guessed
_ENDPOINT_URL = ("CLASSIFIER_ENDPOINT_", "_URL")


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field per variable: `redis_url` is CLASSIFIER_REDIS_URL, or CLASSIFIER_REDIS_URL_FILE."""

    config: Annotated[str, Meta(description="config file; without it the shipped one")] = ""
    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65_535, description="port to listen on; 0 picks a free one")
    ] = 8000
    ops_port: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=65_535,
                description="a port of its own for `/metrics` and `/readyz`; the other one then "
                "answers 404 for them",
            ),
        ]
        | None
    ) = None
    auth: (
        Annotated[
            Literal["bearer", "none"],
            Meta(description="overrides `[server] auth`; `none` only on a loopback address"),
        ]
        | None
    ) = None
    api_keys: Annotated[
        str,
        Meta(
            description="bearer keys for tickets, separated by commas or lines: at least 16 characters "
            "each, or `sha256:` and the key's hash; a file is read again when it changes"
        ),
    ] = ""
    redis_url: Annotated[
        str,
        Meta(
            description="the cache's Redis: `redis://`, `redis+sentinel://`, `redis+cluster://`, "
            "with `rediss` for TLS; without it the cache is in process"
        ),
    ] = ""
    cache_secret: Annotated[
        str,
        Meta(
            description="keys the cache's hashes, at least 16 characters; "
            "required with Redis, the same on all replicas"
        ),
    ] = ""
    drain_s: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="after SIGTERM: not ready, but still serving for so long, until load "
            "balancers have noticed",
        ),
    ] = 5.0
    data_dir: Annotated[
        str,
        Meta(
            description="folder for the ledger and, without CLASSIFIER_INBOX_REDIS_URL, the inbox: "
            "on a disk that stays; without it there is no ledger"
        ),
    ] = ""
    inbox_redis_url: Annotated[
        str,
        Meta(
            description="the inbox's Redis, not the cache's: one that appends to a file and evicts "
            "nothing; URLs as CLASSIFIER_REDIS_URL"
        ),
    ] = ""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="least severe level that is logged"),
    ] = "info"
    log_tickets: Annotated[bool, Meta(description="one log event per ticket; never its text")] = (
        True
    )

    def __repr__(self) -> str:
        return "Settings(…)"  # it holds secrets

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []  # rich does not ask __repr__


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Reads every CLASSIFIER_* variable. Raises ConfigError for unknown, invalid or doubled ones."""
    values: dict[str, str] = {}
    names = {field.name for field in msgspec.structs.fields(Settings)}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or is_endpoint_url(variable):
            continue
        name = variable.removeprefix(PREFIX).lower()
        is_file = name not in names and name.endswith("_file")
        name = name.removesuffix("_file") if is_file else name
        if name not in names:
            raise ConfigError(_unknown(variable, names))
        if name in values:
            raise ConfigError(f"set either {PREFIX}{name.upper()} or its _FILE variant, not both")
        values[name] = read_secret(Path(value), variable) if is_file else value.strip()
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        raise ConfigError(f"{PREFIX}{path.rstrip('`').upper()}: {message}") from None
    _check_secrets(settings, environ)
    return settings


def is_endpoint_url(variable: str) -> bool:
    return variable.startswith(_ENDPOINT_URL[0]) and variable.endswith(_ENDPOINT_URL[1])


def url_variable(endpoint: str) -> str:
    return endpoint.upper().replace("-", "_").join(_ENDPOINT_URL)


def endpoint_url(environ: Mapping[str, str], endpoint: str) -> str | None:
    """CLASSIFIER_ENDPOINT_<NAME>_URL, which overrides an endpoint's `base_url`."""
    return environ.get(url_variable(endpoint))


def endpoint_urls(environ: Mapping[str, str]) -> set[str]:
    """Every variable that names an endpoint's URL."""
    return {variable for variable in environ if is_endpoint_url(variable)}


def read_secret(path: Path, role: str) -> str:
    """A mounted secret without its trailing line break. Raises ConfigError that names the role."""
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{role}: {path} cannot be read: {type(error).__name__}") from error
    if not secret:
        raise ConfigError(f"{role}: {path} is empty")
    return secret


def api_keys(settings: Settings) -> tuple[str, ...]:
    return split_keys(settings.api_keys)


def split_keys(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _check_secrets(settings: Settings, environ: Mapping[str, str]) -> None:
    bare = [key for key in api_keys(settings) if not key.startswith("sha256:")]
    if any(len(key) < MIN_SECRET for key in bare):
        file = "_FILE" if f"{PREFIX}API_KEYS_FILE" in environ else ""
        raise ConfigError(
            f"CLASSIFIER_API_KEYS{file}: every key needs at least {MIN_SECRET} characters"
        )
    if settings.redis_url and not settings.cache_secret:
        raise ConfigError(
            "CLASSIFIER_REDIS_URL without CLASSIFIER_CACHE_SECRET: set the same random secret on "
            "every replica, for example from `openssl rand -hex 32`"
        )
    if settings.cache_secret and len(settings.cache_secret) < MIN_SECRET:
        raise ConfigError(f"CLASSIFIER_CACHE_SECRET needs at least {MIN_SECRET} characters")


def _unknown(variable: str, names: set[str]) -> str:
    known = [PREFIX + name.upper() for name in sorted(names)]
    near = get_close_matches(variable, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    return f"unknown variable {variable}; {hint}"
