"""One shared client per endpoint, kept across reloads as long as its settings stay the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from classifier.config.schema import Endpoint as EndpointConfig
from classifier.errors import ConfigError
from classifier.paths.endpoint import OpenAIEndpoint
from classifier.paths.transport import own_trust
from classifier.settings import read_secret

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 §5.6.2


class EndpointPool:
    """Opens endpoints on demand; those that a new config no longer uses are closed later."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._open: dict[str, tuple[EndpointConfig, tuple[str, bytes], OpenAIEndpoint]] = {}
        self._retired: list[OpenAIEndpoint] = []

    def open(self, name: str, config: EndpointConfig) -> OpenAIEndpoint:
        """Raises ConfigError, with what to set, for what could only fail at the first call."""
        key = api_key(name, config, self._environ)
        _check(name, config, key)
        trust, authorities = None, b""
        if config.ca_file is not None:
            trust = own_trust(f"endpoint {name!r}", Path(config.ca_file))
            authorities = Path(config.ca_file).read_bytes()
        held = self._open.get(name)
        if held is not None and held[:2] == (config, (key, authorities)):
            return held[2]
        if held is not None:
            self._retired.append(held[2])
        endpoint = OpenAIEndpoint(config, key, trust)
        self._open[name] = (config, (key, authorities), endpoint)
        return endpoint

    def retire_all_but(self, names: Collection[str]) -> None:
        """Endpoints that the live config no longer names go the way of the replaced ones."""
        for name in set(self._open) - set(names):
            self._retired.append(self._open.pop(name)[2])

    async def close_retired(self, after_s: float) -> None:
        """Closes what the last reload replaced, once the tickets under way are done with it."""
        retired = tuple(self._retired)
        if retired:
            await asyncio.sleep(after_s)
            self._retired = [endpoint for endpoint in self._retired if endpoint not in retired]
            await asyncio.gather(*(endpoint.aclose() for endpoint in retired))

    async def aclose(self) -> None:
        every = [endpoint for _, _, endpoint in self._open.values()] + self._retired
        await asyncio.gather(*(endpoint.aclose() for endpoint in every))


def api_key(name: str, config: EndpointConfig, environ: Mapping[str, str]) -> str:
    """The endpoint's key from its file or variable; servers without keys get a placeholder."""
    if config.api_key_file is not None:
        return read_secret(Path(config.api_key_file), f"endpoint {name!r}: api_key_file")
    if config.api_key_env is None:
        return "none"
    key = environ.get(config.api_key_env, "").strip()
    if not key:
        raise ConfigError(
            f"endpoint {name!r} has no key: set {config.api_key_env}, or `api_key_file` under "
            f"[endpoints.{name}]; to try the service without a key: classifier demo"
        )
    return key


def _check(name: str, config: EndpointConfig, key: str) -> None:
    """Raises ConfigError for a URL that leads nowhere and for what cannot stand in a header."""
    where = f"endpoint {name!r}"
    try:
        parts = urlsplit(config.base_url)
        leads_somewhere = bool(parts.hostname) and parts.port != 0 and config.base_url.isprintable()
    except ValueError as error:
        raise ConfigError(f"{where}: base_url {config.base_url!r}: {error}") from None
    if not leads_somewhere:
        raise ConfigError(f"{where}: base_url {config.base_url!r} names no server")
    if not _is_printable(key):
        raise ConfigError(f"{where}: its key holds characters that no key has; is it complete?")
    if config.proxy is not None and "@" in config.proxy:
        raise ConfigError(f"{where}: proxy holds a password; a proxy that wants one is not served")
    for header, value in config.headers.items():
        if not _TOKEN.fullmatch(header) or not _is_printable(value):
            raise ConfigError(
                f"{where}: header {header!r} holds characters that no header can have"
            )


def _is_printable(value: str) -> bool:
    return value.isascii() and value.isprintable()
