"""Whatever comes in, the caller's fault is a 4xx that says what to do, and the service goes on."""

from __future__ import annotations

import gzip
import json
import string
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.contract import assert_problem, assert_problem_body
from tests.support.house import Service, service, write_config
from tests.support.raw import connected, exchange, request
from tests.support.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")
JSON = {"Content-Type": "application/json"}
JSON_LINE = b"Content-Type: application/json"
TICKET = b'{"body":"charged twice"}'
DEEP = b"[" * 100_000 + b"]" * 100_000
DEEP_OBJECT = b'{"a":' * 40_000 + b"1" + b"}" * 40_000
FUZZ = settings(
    max_examples=400,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


MALFORMED = {
    "empty": (b"", "the body is empty; send one JSON object"),
    "not_json": (b"charged twice", "not valid JSON"),
    "unfinished": (b'{"body":"charged', "not valid JSON"),
    "two_values": (TICKET + TICKET, "not valid JSON"),
    "nul_byte": (b'{"body":"a\x00b"}', "not valid JSON"),
    "nothing_but_nul": (b"\x00" * 10, "not valid JSON"),
    "byte_order_mark": (b"\xef\xbb\xbf" + TICKET, "not valid JSON"),
    "utf_16": (TICKET.decode().encode("utf-16"), "byte 0 is not UTF-8"),
    "latin_1": (b'{"body":"caf\xe9"}', "byte 12 is not UTF-8"),
    "invalid_utf_8_in_a_name": (b'{"\xff":"x"}', "byte 2 is not UTF-8"),
    "surrogate_in_utf_8": (b'{"body":"\xed\xa0\x80"}', "byte 9 is not UTF-8"),
    "overlong_utf_8": (b'{"body":"\xc0\xaf"}', "byte 9 is not UTF-8"),
    "lone_surrogate": (b'{"body":"\\ud800 and more"}', "not valid JSON"),
    "swapped_surrogates": (b'{"body":"\\udc00\\ud800"}', "not valid JSON"),
    "surrogate_in_metadata": (b'{"body":"x","metadata":{"\\ud800 key":1}}', "not valid JSON"),
    "surrogate_in_the_id": (b'{"body":"x","id":"\\udfff 1"}', "not valid JSON"),
    "not_a_number": (b'{"body":"x","metadata":{"n":NaN}}', "not valid JSON"),
    "infinity": (b'{"body":"x","metadata":{"n":Infinity}}', "not valid JSON"),
}


@pytest.mark.parametrize(("body", "words"), MALFORMED.values(), ids=MALFORMED)
async def test_unreadable_body_is_malformed(shared_house: Service, body: bytes, words: str) -> None:
    """Bytes that are no JSON in UTF-8 are a 400 that names the fault and its place."""
    answer = await shared_house.client.post("/classify", content=body, headers=JSON)
    assert_problem(answer, 400, "malformed", words)


NOT_A_TICKET = {
    "null": (b"null", "Expected `object`, got `null`"),
    "array": (b"[]", "Expected `object`, got `array`"),
    "text": (b'"charged twice"', "Expected `object`, got `str`"),
    "no_body": (b'{"subject":"x"}', "missing required field `body`"),
    "body_is_null": (b'{"body":null}', "body: Expected `str`, got `null`"),
    "body_is_a_list": (b'{"body":["x"]}', "body: Expected `str`, got `array`"),
    "tag_is_a_number": (b'{"body":"x","tags":["a",1]}', "tags[1]: Expected `str`, got `int`"),
    "metadata_is_nested": (b'{"body":"x","metadata":{"a":{}}}', "got `object`"),
    "id_is_a_number": (b'{"body":"x","id":7}', "id: Expected `str`, got `int`"),
    "id_too_long": (json.dumps({"body": "x", "id": "7" * 257}).encode(), "length <= 256"),
    "too_many_tags": (json.dumps({"body": "x", "tags": ["t"] * 257}).encode(), "length <= 256"),
    "too_much_metadata": (
        json.dumps({"body": "x", "metadata": {str(n): n for n in range(65)}}).encode(),
        "metadata: Expected `object` of length <= 64",
    ),
    "float_out_of_range": (b'{"body":"x","metadata":{"n":1e400}}', "out of range"),
    "integer_of_5000_digits": (b'{"body":"x","metadata":{"n":1' + b"0" * 5_000 + b"}}", "range"),
    "body_of_100000_digits": (b'{"body":1' + b"0" * 100_000 + b"}", "body: Number out of range"),
    "doubled_key_first_wrong": (b'{"body":1,"body":"x"}', "body: Expected `str`, got `int`"),
    "misspelt_field": (b'{"body":"x","subjct":"y"}', "'subjct'; did you mean 'subject'?"),
    "unknown_field": (b'{"body":"x","zzz":1}', "unknown field 'zzz'; fields: body, subject, id"),
    "deep": (DEEP, "Expected `object`, got `array`"),
    "deep_and_open": (b"[" * 100_000, "Expected `object`, got `array`"),
    "words_as_field": (b'{"body":"x","my card is 4711":1}', "unknown field; fields: body, subject"),
    "deep_objects": (DEEP_OBJECT, "unknown field 'a'"),
    "deep_body": (b'{"body":' + DEEP + b"}", "body: Expected `str`, got `array`"),
    "deep_tag": (b'{"body":"x","tags":[' + DEEP + b"]}", "tags[0]: Expected `str`"),
    "deep_metadata": (b'{"body":"x","metadata":{"a":' + DEEP + b"}}", "metadata"),
    "deep_unknown_field": (b'{"body":"x","zzz":' + DEEP_OBJECT + b"}", "unknown field 'zzz'"),
}


@pytest.mark.parametrize(("body", "words"), NOT_A_TICKET.values(), ids=NOT_A_TICKET)
async def test_other_json_is_no_ticket(shared_house: Service, body: bytes, words: str) -> None:
    """JSON that is no ticket is a 422 that names the field and what belongs there."""
    answer = await shared_house.client.post("/classify", content=body, headers=JSON)
    assert_problem(answer, 422, "unprocessable", words)


ODD_TICKETS = {
    "doubled_key_last_one_counts": (b'{"body":"first","body":"second"}', "second"),
    "escaped_nul": (b'{"body":"a\\u0000b"}', "ab"),
    "number_of_100_digits": (b'{"body":"big","metadata":{"n":1' + b"0" * 100 + b"}}", "big"),
    "number_next_to_nothing": (b'{"body":"tiny","metadata":{"n":1e-999999999}}', "tiny"),
    "empty_text": (b'{"body":""}', ""),
    "every_plane": ('{"body":"\\ud83d\\ude00 ☃ \\u200b"}'.encode(), "😀 ☃ "),
}


@pytest.mark.parametrize(("body", "text"), ODD_TICKETS.values(), ids=ODD_TICKETS)
async def test_odd_but_valid_ticket_is_classified(
    shared_house: Service, models: tuple[Upstream, Upstream], body: bytes, text: str
) -> None:
    """What is valid JSON and a ticket is classified, and reaches the model as it was meant."""
    answer = await shared_house.client.post("/classify", content=body, headers=JSON)
    assert answer.status_code == 200
    assert models[0].calls[-1].ticket == text


MEDIA_TYPES = {
    "missing": ({}, "send Content-Type: application/json"),
    "text": ({"Content-Type": "text/plain"}, "not 'text/plain'"),
    "form": ({"Content-Type": "application/x-www-form-urlencoded"}, "application/json"),
    "latin_1": ({"Content-Type": "application/json; charset=latin-1"}, "as UTF-8"),
    "two_charsets": ({"Content-Type": "application/json; charset=utf-8; charset=x"}, "as UTF-8"),
    "gzip": ({**JSON, "Content-Encoding": "gzip"}, "uncompressed"),
    "brotli": ({**JSON, "Content-Encoding": "br"}, "uncompressed"),
}


@pytest.mark.parametrize(("headers", "words"), MEDIA_TYPES.values(), ids=MEDIA_TYPES)
async def test_other_media_types_are_refused(
    shared_house: Service, headers: dict[str, str], words: str
) -> None:
    """A body that is not announced as plain JSON in UTF-8 is a 415, even if it would be readable."""
    body = gzip.compress(TICKET) if headers.get("Content-Encoding") == "gzip" else TICKET
    answer = await shared_house.client.post("/classify", content=body, headers=headers)
    assert_problem(answer, 415, "wrong-media-type", words)


@pytest.mark.parametrize(
    "value",
    [
        "application/json;charset=UTF-8",
        'Application/JSON; charset="utf-8"',
        "application/json; charset=utf8; profile=x",
    ],
)
async def test_ways_to_say_json_are_accepted(shared_house: Service, value: str) -> None:
    """Case, quotes and further parameters of the media type do not matter."""
    headers = {"Content-Type": value}
    answer = await shared_house.client.post("/classify", content=TICKET, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("offered", [b"h2c", b"websocket", b"TLS/1.0"])
async def test_offered_upgrade_loses_no_body(shared_house: Service, offered: bytes) -> None:
    """Java's client offers HTTP/2 with every call: the offer is ignored, the ticket is not."""
    upgrade = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + offered, b"HTTP2-Settings: A")
    data = request("/classify", TICKET, JSON_LINE, *upgrade)
    for pieces in ((data,), (data[:40], data[40:-5], data[-5:])):
        async with connected(shared_house.port) as connection:
            for _ in range(2):  # and the connection goes on
                for piece in pieces:
                    await connection.send(piece)
                answer = await connection.answer()
                assert (answer.status, json.loads(answer.body)["label"]) == (200, "billing")
    ndjson = b"Content-Type: application/x-ndjson"
    batch = await exchange(shared_house.port, request("/classify/batch", TICKET, ndjson, *upgrade))
    assert json.loads(batch.body)["label"] == "billing"


QUERIES = {
    "?foo=1": "unknown query parameter 'foo'; there are: path, cache",
    "?=1": "unknown query parameter ''",
    "?cache=maybe": "`?cache=` takes on or off",
    "?cache=": "`?cache=` takes on or off",
    "?cache=ON": "`?cache=` takes on or off",
    "?%00%ff=%f0%9f": "unknown query parameter",
}


@pytest.mark.parametrize(("query", "words"), QUERIES.items(), ids=QUERIES)
async def test_unknown_query_is_malformed(shared_house: Service, query: str, words: str) -> None:
    """A parameter or value that does not exist is refused, not ignored."""
    answer = await shared_house.client.post(f"/classify{query}", content=TICKET, headers=JSON)
    assert_problem(answer, 400, "malformed", words)


@pytest.mark.parametrize(
    "value", ["0", "-1", "+5", "1e3", "1.5", "99999999999", "soon", "\uff10", "1_0"]
)
async def test_bad_timeout_header_is_malformed(shared_house: Service, value: str) -> None:
    """X-Timeout-Ms takes whole milliseconds above 0 and nothing that only looks like them."""
    headers = [(b"Content-Type", b"application/json"), (b"X-Timeout-Ms", value.encode())]
    answer = await shared_house.client.post("/classify", content=TICKET, headers=headers)
    assert_problem(answer, 400, "malformed", "a whole number of milliseconds from 1 to 999999999")


@pytest.mark.parametrize("name", ["nope", "", "Short", "../short", "%00%ff", "x" * 8_000])
async def test_unknown_forced_path_is_not_found(shared_house: Service, name: str) -> None:
    """A path that does not exist is a 404 that lists those that do."""
    answer = await shared_house.client.post(f"/classify?path={name}", content=TICKET, headers=JSON)
    assert_problem(answer, 404, "not-found", "paths: short, long")


async def test_forced_path_can_be_switched_off(
    models: tuple[Upstream, Upstream], tmp_path: Path
) -> None:
    """`?path=` is a 403 that names the setting where the config does not allow it."""
    config = write_config(tmp_path, models[0].url, models[1].url)
    server = '[server]\nauth = "none"\nallow_forced_path = false'
    config.write_text(config.read_text().replace('[server]\nauth = "none"', server))
    async with service(config) as house:
        assert_problem(
            await house.classify("x", path="long"), 403, "not-allowed", "allow_forced_path"
        )
        assert (await house.classify("x")).status_code == 200


@pytest.mark.parametrize(
    "target",
    ["/nope", "/index.html", "/classify/nope", "/%00%ff", "/schema/nope", "/schema/a.yml",
     "/metrics/x", "/" + "x" * 8_000],
)  # fmt: skip
async def test_unknown_route_is_not_found(shared_house: Service, target: str) -> None:
    """Whatever is not there is a 404 that points to the description."""
    assert_problem(await shared_house.client.get(target), 404, "not-found", "described at /schema")


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("GET", "/classify", "POST"),
        ("DELETE", "/classify", "POST"),
        ("TRACE", "/classify", "POST"),
        ("PROPFIND", "/classify/batch", "POST"),
        ("POST", "/healthz", "GET"),
        ("PUT", "/metrics", "GET"),
    ],
)
async def test_wrong_method_is_refused(
    shared_house: Service, method: str, target: str, allowed: str
) -> None:
    """Another method is a 405 that says which ones there are (RFC 9110 §15.5.6)."""
    answer = await shared_house.client.request(method, target)
    assert_problem(answer, 405, "method-not-allowed", "/schema")
    assert allowed in answer.headers["allow"]


async def test_too_large_body_is_refused_unread(shared_house: Service) -> None:
    """A body announced as 5 MB is a 413 before a byte of it is sent."""
    answer = await exchange(
        shared_house.port, request("/classify", b"", JSON_LINE, length=5_000_000)
    )
    assert_problem_body(answer.body, 413, "too-large", "262144 bytes; send less")


async def test_endless_body_is_refused_on_the_way(shared_house: Service) -> None:
    """Chunks without an announced length are a 413 once they exceed the limit, not at their end."""
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + JSON_LINE
    async with connected(shared_house.port) as connection:
        await connection.send(head + b"\r\n\r\n")
        for _ in range(5):
            await connection.send(b"%x\r\n%s\r\n" % (65_536, b" " * 65_536))
        answer = await connection.answer()
    assert_problem_body(answer.body, 413, "too-large", "262144 bytes; send less")


async def test_client_that_sends_all_reads_its_413(shared_house: Service) -> None:
    """Who sends 5 MB before reading gets the 413, not a broken connection."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(80):
            yield b" " * 65_536

    for body in (b" " * 5_000_000, chunks()):
        answer = await shared_house.client.post("/classify", content=body, headers=JSON)
        assert_problem(answer, 413, "too-large", "send less")


async def test_largest_body_is_still_read(shared_house: Service) -> None:
    """262,144 bytes are a ticket, one more are too many."""
    body = TICKET + b" " * (262_144 - len(TICKET))
    fits = await shared_house.client.post("/classify", content=body, headers=JSON)
    larger = await shared_house.client.post("/classify", content=body + b" ", headers=JSON)
    assert (fits.status_code, larger.status_code) == (200, 413)


async def test_too_short_content_length_is_malformed(shared_house: Service) -> None:
    """A body cut by its own Content-Length is refused together with what is left of it."""
    data = request("/classify", TICKET, JSON_LINE, length=5)
    async with connected(shared_house.port) as connection:
        await connection.send(data)
        answers = await connection.rest()  # the server hangs up: what follows is no request
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert b" 200 " not in answers


async def test_too_long_content_length_is_not_waited_for(shared_house: Service) -> None:
    """A body that never arrives whole is a 400 after the ticket's time budget, at least a second."""
    data = request("/classify", TICKET, JSON_LINE, b"X-Timeout-Ms: 100", length=1_000)
    answer = await exchange(shared_house.port, data)
    assert_problem_body(answer.body, 400, "malformed", "after 1 s; check Content-Length")


async def test_hanging_up_in_the_body_harms_nobody(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """A client that leaves in the middle of its body costs no call and no 5xx."""
    asked = len(models[0].calls)
    for _ in range(20):
        async with connected(shared_house.port) as connection:
            await connection.send(request("/classify", TICKET[:5], JSON_LINE, length=len(TICKET)))
            connection.hang_up()
    assert (await shared_house.client.get("/healthz")).text == "ok"
    assert len(models[0].calls) == asked
    assert await shared_house.metric("classifier_http_requests_total", status="5xx") == 0


GARBAGE = {
    "words": b"hello\r\n\r\n",
    "nul": b"\x00" * 100 + b"\r\n\r\n",
    "tls": bytes.fromhex("16030100a5010000a10303") + b"\x00" * 100,
    "http_2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "future_http": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "header_without_a_name": b"GET /healthz HTTP/1.1\r\n: x\r\n\r\n",
    "header_with_nul": b"GET /healthz HTTP/1.1\r\nX: a\x00b\r\n\r\n",
    "two_lengths": b"POST /classify HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "length_and_chunked": request("/classify", b"0\r\n\r\n", b"Transfer-Encoding: chunked"),
    "negative_length": b"POST /classify HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "length_of_5000_digits": b"POST /classify HTTP/1.1\r\nContent-Length: "
    + b"9" * 5_000
    + b"\r\n\r\n",
    "chunk_size_is_text": request("/classify", b"", b"Transfer-Encoding: chunked").replace(
        b"Content-Length: 0\r\n", b""
    )
    + b"zz\r\n",
    "target_is_no_url": b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
    "connect": b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "non_ascii_target": b"GET /caf\xe9 HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_instead_of_http_is_refused(shared_house: Service, data: bytes) -> None:
    """Bytes that are no HTTP are a 400 or 404 with a problem; the next client is served."""
    answer = await exchange(shared_house.port, data)
    assert answer.status in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["request_id"] == answer.headers["x-request-id"]
    assert (await shared_house.client.get("/healthz")).status_code == 200


# ------------------------------------------------------------------------------------- fuzzing

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_json = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
_fields = st.sampled_from(
    ["body", "subject", "id", "language", "channel", "tags", "metadata", "subjct", ""]
)


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A ticket with some bytes exchanged, cut or doubled."""
    data = bytearray(_dumped({"body": "x", "tags": ["a"], "metadata": {"k": 1.5}, "id": "é"}))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(data)


_bodies = (
    st.binary(max_size=200)
    | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | _json.map(_dumped)
    | st.dictionaries(_fields, _json, max_size=6).map(_dumped)
    | _mutated()
)
_header_bytes = st.text(alphabet=[chr(n) for n in range(256)], max_size=30).map(
    lambda text: text.encode("latin-1").replace(b"\r", b"").replace(b"\n", b"")
)
_target_bytes = st.text(alphabet=string.printable.strip() + "é\x00\x7f", max_size=30).map(
    lambda text: text.encode()
)


@FUZZ
@given(body=_bodies)
@example(body=b'{"body":"' + b"\\ud83d" * 20 + b'"}')
async def test_random_bodies_never_crash(shared_house: Service, body: bytes) -> None:
    """No body at all makes the service answer 500."""
    answer = await shared_house.client.post("/classify", content=body, headers=JSON)
    assert answer.status_code in (200, 400, 422)


@FUZZ
@given(
    query=_target_bytes,
    headers=st.dictionaries(
        st.sampled_from(
            [b"Content-Type", b"X-Timeout-Ms", b"X-Request-Id", b"Authorization", b"Content-Encoding",
             b"Accept", b"Cookie", b"Expect", b"Origin", b"Transfer-Encoding", b"X"]
        ),
        _header_bytes,
        max_size=4,
    ),
)  # fmt: skip
async def test_random_headers_never_crash(
    shared_house: Service, query: bytes, headers: dict[bytes, bytes]
) -> None:
    """No header and no query at all makes the service answer 500."""
    given_headers = {b"Content-Type": b"application/json", b"Connection": b"close", **headers}
    lines = [name + b": " + value for name, value in given_headers.items()]
    head = request("/classify?", TICKET, *lines)
    data = head.replace(b"/classify?", b"/classify?" + query, 1)
    answer = await exchange(shared_house.port, data)
    assert answer.status < 500
    assert answer.status == 0 or answer.status >= 200
