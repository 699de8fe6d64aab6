"""One model server behind openai.AsyncOpenAI: the only file that knows the SDK.

The call goes through `client.post` with ready-made bytes: the SDK keeps authentication, status
errors and URLs, and skips its per-call transform of typed parameters and its response models.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2
import openai

from classifier.config.schema import Endpoint as EndpointConfig
from classifier.errors import AttemptFailed, FailureKind
from classifier.logs import event
from classifier.paths.transport import CappedTransport, system_trust
from classifier.ports import RawReply

SIMULATED_HEADER = "x-simulated"
_CONNECT_PART = 0.45  # of an attempt's time, at most
_JSON = {"Content-Type": "application/json"}


class OpenAIEndpoint:
    """A pool of connections to one base URL, kept alive; no retries and no timeouts of the SDK's."""

    def __init__(
        self, config: EndpointConfig, api_key: str, trust: ssl.SSLContext | None = None
    ) -> None:
        limits = httpx2.Limits(
            max_connections=config.max_connections,
            max_keepalive_connections=config.max_connections,
            keepalive_expiry=config.keepalive_s,
        )
        # The attempt's own deadline bounds everything; only connecting has a limit of its own.
        self._connect_timeout_s = config.connect_timeout_s
        self._timeout = timeout = httpx2.Timeout(None, connect=config.connect_timeout_s)
        headers = {"Accept-Encoding": "identity", **config.headers}
        self._client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=config.base_url,
            max_retries=0,
            timeout=timeout,
            default_headers=headers,
            http_client=httpx2.AsyncClient(
                transport=CappedTransport(
                    verify=trust or system_trust(), limits=limits, proxy=config.proxy
                ),
                timeout=timeout,
                follow_redirects=False,  # a key goes where the config says, and nowhere else
                trust_env=False,  # nor through a proxy that nobody configured here
            ),
        )
        _forget_environment(self._client, headers)

    async def post(self, route: str, body: bytes, timeout_s: float) -> RawReply:
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._client.post(
                    route,
                    cast_to=httpx2.Response,
                    content=body,
                    options={"headers": _JSON, "timeout": self._phases(timeout_s)},
                )
        except TimeoutError as error:
            raise AttemptFailed("timeout", may_be_charged=True) from error
        except Exception as error:
            raise translate(error) from error
        simulated = SIMULATED_HEADER in response.headers
        if response.status_code != httpx2.codes.OK:
            raise AttemptFailed("garbage", may_be_charged=True, simulated=simulated)
        return RawReply(response.content, _server_time_s(response), simulated)

    def _phases(self, timeout_s: float) -> httpx2.Timeout:
        """Who cannot be reached fails as that, for free, and not as a call that ran out of time.

        TCP and TLS have this limit each; a connection that takes longer leaves no time to answer.
        """
        if self._connect_timeout_s <= _CONNECT_PART * timeout_s:
            return self._timeout
        return httpx2.Timeout(None, connect=_CONNECT_PART * timeout_s)

    async def warm(self) -> bool:
        """Asks for the model list, so that DNS, TCP and TLS are done before the first ticket.

        Any HTTP answer counts: a server that has no such list is still there.
        """
        try:
            async with asyncio.timeout(5.0):
                await self._client.get("/models", cast_to=httpx2.Response)
        except openai.APIStatusError:
            return True
        except Exception:  # noqa: BLE001 -- whatever it is, there is no server to be reached
            return False
        return True

    async def aclose(self) -> None:
        await self._client.close()


def _forget_environment(client: openai.AsyncOpenAI, headers: dict[str, str]) -> None:
    """What is sent stands in the config, whatever OPENAI_* variables say.

    The SDK adds OPENAI_ORG_ID, OPENAI_PROJECT_ID and OPENAI_CUSTOM_HEADERS, which may hold another
    vendor's key, to the calls of every endpoint.
    """
    client.organization = client.project = client.admin_api_key = client.webhook_secret = None
    client._custom_headers = headers  # noqa: SLF001 -- passed openly, they are merged with the variable's


def translate(error: Exception) -> AttemptFailed:
    """The SDK's errors in our words; its texts go no further, they may hold the request."""
    if isinstance(error, openai.APIStatusError):
        headers = error.response.headers
        return AttemptFailed(
            _status_kind(error),
            retry_after_s=_retry_after_s(headers),
            simulated=SIMULATED_HEADER in headers,
        )
    if isinstance(error, openai.APITimeoutError):
        return _connection_kind(error, otherwise="timeout")
    if isinstance(error, openai.APIConnectionError):
        return _connection_kind(error, otherwise="reset")
    if not isinstance(error, openai.APIError):
        # Not all errors of the libraries below reach us as the SDK's (pydantic/httpx2#854).
        event(logging.WARNING, "endpoint.surprised", error=type(error).__name__)
        return AttemptFailed("reset", may_be_charged=True)
    return AttemptFailed("garbage", may_be_charged=True)


def _connection_kind(error: openai.APIConnectionError, *, otherwise: FailureKind) -> AttemptFailed:
    """A failure before anything was sent is free; afterwards the server may have done the work."""
    cause = error.__cause__
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return AttemptFailed("connect")
    if isinstance(cause, httpx2.DecodingError):
        return AttemptFailed("garbage", may_be_charged=True)
    return AttemptFailed(otherwise, may_be_charged=True)


_KINDS: dict[int, FailureKind] = {
    400: "refused",
    401: "unauthorised",
    403: "unauthorised",
    404: "model_gone",
    408: "timeout",
    409: "server_error",
    413: "refused",
    422: "refused",
    429: "rate_limited",
}
# Vendor's help page on fine-tunes: an idle one answers 429 until it is loaded.
_LOADING = re.compile(r"\bload(?:ed|ing)\b")


def _status_kind(error: openai.APIStatusError) -> FailureKind:
    kind = _KINDS.get(error.status_code, "server_error")
    if kind != "rate_limited":
        return kind
    if "insufficient_quota" in (error.code, error.type):
        return "quota"
    return "loading" if _LOADING.search(str(error.message)) else "rate_limited"


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """`retry-after-ms`, or Retry-After in seconds or as a date (RFC 9110 §10.2.3)."""
    value = headers.get("retry-after")
    milliseconds = _number(headers.get("retry-after-ms"))
    seconds = _number(value) if milliseconds is None else milliseconds / 1_000
    if seconds is None and value is not None:
        seconds = _seconds_until(value)
    return None if seconds is None else max(0.0, seconds)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    # "-0000" and no zone at all mean UTC here: the only zone that HTTP knows.
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()


def _server_time_s(response: httpx2.Response) -> float | None:
    """The vendor's own processing time, `openai-processing-ms`, where it is sent."""
    milliseconds = _number(response.headers.get("openai-processing-ms"))
    return None if milliseconds is None else max(0.0, milliseconds / 1_000)
