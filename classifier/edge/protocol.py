"""uvicorn's HTTP/1.1 with the limits that it lacks: time, size, number, and framing told as problems.

What uvicorn 0.54 leaves open: a request may take for ever to arrive, headers may have any size,
malformed bytes are answered as plain text (and in front of answers that are still due), an offered
upgrade swallows the body (https://github.com/Kludex/uvicorn/issues/2722).
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from classifier.api.context import ARRIVED
from classifier.edge.answering import answering
from classifier.edge.census import ARRIVAL_GRACE_S, IDLE_GRACE_S, IDLE_PATIENCE, Census, CutReason
from classifier.edge.refusals import refusal
from classifier.errors import (
    ClassifierError,
    HeadTooLarge,
    Malformed,
    Overcrowded,
    TooSlow,
)

BODY_BYTES_PER_S = 4_096  # slower than any modem: who sends less is not sending
# One byte to a chunk is legal and costs five more; what exceeds that is no body.
_FRAMING_PER_BYTE = 6
_LINGER_S = 1.0  # how long a refused client is listened to, so that it reads why (RFC 9112 §9.6)
_MOST_PIPELINED = 64
_OFFERS = (b"upgrade", b"http2-settings")  # headers, and what `Connection` lists them as


class EdgeProtocol(HttpToolsProtocol):
    """One connection. `_awaited_since` is set as long as the client owes us bytes of a request."""

    def __init__(
        self, *arguments: Any, census: Census, ops: tuple[int, Any] | None = None, **keywords: Any
    ) -> None:
        super().__init__(*arguments, **keywords)
        self._census = census
        self._ops = ops
        self._deadline: asyncio.TimerHandle | None = None
        self._awaited_since: float | None = None
        self._idle_since: float | None = None
        self._in_head = self._in_body = self._deaf = False
        self._stuck: asyncio.TimerHandle | None = None
        self._lingers = False
        # Bytes of the request that is arriving; `_credit` are those of its body that somebody reads.
        self._received = self._body = self._head = self._credit = 0

    # -- the connection ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.timeout_keep_alive = self._census.limits.keepalive_s  # type: ignore[assignment]
        if self._ops is not None and self.server is not None and self.server[1] == self._ops[0]:
            self.app = self._ops[1]  # probes and scrapes: the crowd at the other port is not theirs
            self._await()
        elif self._census.admit(self):
            self._await()
        else:
            self._tell(Overcrowded("too many connections; try again soon", retry_after_s=1))

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._deadline, self._stuck):
            if timer is not None:
                timer.cancel()
        self._census.leave(self, lingers=self._lingers)
        self._deaf = True
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        fresh = not (self._in_head or self._in_body)
        if not fresh:
            self._received += len(data)
        self._feed(data, fresh=fresh)
        limit = self._census.limits.max_head_bytes
        if self._deaf:
            return
        arriving = self._in_head or self._in_body
        if arriving and self._received - _FRAMING_PER_BYTE * self._body > limit:
            self._refuse("head_too_large", _head_too_large(limit))
        elif self._awaited_since is None and self._is_quiet():
            self._await()  # line breaks between requests: they stopped the keep-alive clock

    def _feed(self, data: bytes, *, fresh: bool) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:
            self._go_on_without_upgrade(data[offered.args[0] :])
        except httptools.HttpParserError:
            if not self._deaf:
                self._refuse("malformed", Malformed("these bytes are no HTTP/1.1 request"))
        if fresh:
            self._received = self._head + self._body

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """A server may ignore an upgrade (RFC 9110 §7.8): the request is read as if it had none."""
        if self._deaf:
            return
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse("malformed", Malformed("this is no proxy: CONNECT is not served"))
            return
        kept = [_without_offer(*header) for header in self.headers if header[0] not in _OFFERS]
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        lines += [b"%s: %s" % header for header in kept]
        self.parser = httptools.HttpRequestParser(self)
        self._in_head = False
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    # -- the parser's events -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._in_body = True, False
        self._received = self._body = self._head = self._credit = 0
        if self._awaited_since is None and not self._deaf:
            self._await()
        if self._census.turnstile is not None:
            self.scope["state"][ARRIVED] = self._census.turnstile.arrived()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value) + 4)
        # A trailer is no header (RFC 9110 §6.5.1): who guards the headers in front has not seen it.
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # the parser gives up here; what follows comes by `_go_on_without_upgrade`
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._deafen()
        if self._deaf:
            return
        super().on_headers_complete()
        self._in_head, self._in_body = False, True
        if self._census.draining:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        answer = None
        if self._census.turnstile is not None and not self.flow.write_paused:
            cycle.keep_alive &= not self._census.draining
            answer = self._census.turnstile.turns_away(
                cycle.scope, len(self.tasks), closes=not cycle.keep_alive
            )
        if answer is None:
            super()._start_asgi_task(cycle, answering(app, cycle))
            return
        cycle.response_started = cycle.response_complete = True
        self.transport.write(answer)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        if not self._deaf:
            self._credit += 0 if self.cycle.response_complete else len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_body = False
        self._awaited_since = None
        if not self._deaf:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._idle_since = self.loop.time()
        if self._deaf and not self.pipeline:
            self.transport.close()

    def _count_head(self, size: int) -> None:
        self._head += size
        limit = self._census.limits.max_head_bytes
        if self._head > limit and not self._deaf:
            self._refuse("head_too_large", _head_too_large(limit))

    # -- time ----------------------------------------------------------------------------------

    def _await(self) -> None:
        """The client owes us a request from now on. One timer, armed again when it was too early."""
        self._awaited_since = self.loop.time()
        if self._deadline is None:
            self._arm(self._census.limits.receive_timeout_s)

    def _arm(self, delay_s: float) -> None:
        self._deadline = self.loop.call_later(delay_s, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        self._deadline = None
        if self._awaited_since is None or self._deaf:
            return
        if self.flow.read_paused:  # it is we who do not read: a batch that is ahead of its answers
            self._awaited_since = self.loop.time()
        allowed_s = self._census.limits.receive_timeout_s + self._credit / BODY_BYTES_PER_S
        left_s = self._awaited_since + allowed_s - self.loop.time()
        if left_s > 0:
            self._arm(left_s)
        elif self._in_head or self._in_body:
            reason: CutReason = "slow_body" if self._in_body else "slow_head"
            self._refuse(reason, TooSlow(f"the request was not complete after {allowed_s:.0f} s"))
        else:
            self._census.cut("silent")
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        self._census.cut("idle")
        super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(self._census.limits.keepalive_s, self._give_up_writing)

    def resume_writing(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
        super().resume_writing()

    def _give_up_writing(self) -> None:
        """The client asked and does not read: 64 KiB of answers wait for it."""
        self._census.cut("slow_reader")
        self.transport.abort()

    # -- what the census asks ------------------------------------------------------------------

    def waiting_s(self) -> float | None:
        if self._awaited_since is not None and not self.flow.read_paused:
            grace_s = ARRIVAL_GRACE_S if self._idle_since is not None else 0.0
            return self.loop.time() - self._awaited_since - grace_s
        if self._is_quiet():
            idle_s = self.loop.time() - (self._idle_since or 0.0)
            return (idle_s - IDLE_GRACE_S) / IDLE_PATIENCE
        return None

    def give_way(self) -> None:
        if self._in_head or self._in_body:
            error = Overcrowded("others needed the place; try again soon", retry_after_s=1)
            self._refuse("crowded", error)
        else:
            self._census.cut("crowded")
            self.transport.close()

    def last_answer(self) -> None:
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """The server ends: a request that has begun to arrive is still read and answered."""
        if self._in_head and not self._deaf:
            return  # `on_headers_complete` makes its answer the last one
        super().shutdown()

    # -- refusals ------------------------------------------------------------------------------

    def _is_quiet(self) -> bool:
        """Nothing is being received, nothing is being answered."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not (self._in_head or self._in_body or self.pipeline)

    def _refuse(self, reason: CutReason, error: ClassifierError) -> None:
        """Answers in place of the request that is arriving, after those that came before it."""
        self._census.cut(reason)
        cycle: RequestResponseCycle | None = self.cycle if self._in_body else None
        ahead = self.cycle is not None and not self.cycle.response_complete and cycle is None
        if ahead or self.pipeline:
            self._deafen()
        elif cycle is not None and cycle.response_started:
            self.transport.close()
        else:
            if cycle is not None:
                cycle.disconnected = True
                cycle.waiting_for_100_continue = False
                cycle.message_event.set()
            self._tell(error)

    def _deafen(self) -> None:
        """Hears no more; what is under way is answered, then the connection ends."""
        self._deaf = True
        self._awaited_since = None
        if self._in_body and self.pipeline:
            self.pipeline.popleft()  # the request that is wrong
        self.last_answer()

    def _tell(self, error: ClassifierError) -> None:
        """Closing at once would reset the connection, and the client would never read the answer."""
        self._deaf = True
        self._awaited_since = None
        self.transport.write(refusal(error))
        self._lingers = self._census.may_linger()
        if not self._lingers:
            self.transport.close()
            return
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(_LINGER_S, self.transport.close)


def _without_offer(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """The header; of `Connection` what else it says, `close` above all."""
    if name != b"connection":
        return name, value
    options = [option.strip() for option in value.split(b",")]
    return name, b", ".join(each for each in options if each.lower() not in _OFFERS)


def _head_too_large(limit: int) -> HeadTooLarge:
    return HeadTooLarge(f"request line and headers are larger than {limit} bytes; send less")
