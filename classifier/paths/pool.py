"""One shared client per endpoint, kept across reloads as long as its settings stay the same."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from classifier.config.schema import Endpoint as EndpointConfig
from classifier.errors import ConfigError
from classifier.paths.endpoint import OpenAIEndpoint
from classifier.settings import read_secret


class EndpointPool:
    """Opens endpoints on demand; those that a new config no longer uses are closed later."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._open: dict[str, tuple[EndpointConfig, str, OpenAIEndpoint]] = {}
        self._retired: list[OpenAIEndpoint] = []

    def open(self, name: str, config: EndpointConfig) -> OpenAIEndpoint:
        """Raises ConfigError, with what to set, when the endpoint's key cannot be found."""
        key = api_key(name, config, self._environ)
        held = self._open.get(name)
        if held is not None and held[:2] == (config, key):
            return held[2]
        if held is not None:
            self._retired.append(held[2])
        endpoint = OpenAIEndpoint(config, key)
        self._open[name] = (config, key, endpoint)
        return endpoint

    async def close_retired(self, after_s: float) -> None:
        """Closes what the last reload replaced, once the tickets under way are done with it."""
        retired, self._retired = self._retired, []
        if retired:
            await asyncio.sleep(after_s)
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
