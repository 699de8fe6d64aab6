"""Deliveries, for every vendor: what is genuine comes in, what is not is refused by name."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.config.helpdesks import Actions, Helpdesk
from classifier.config.toml import Document, convert
from classifier.errors import ConfigError, Malformed, NotGenuine
from classifier.helpdesks.accounts import open_helpdesk, open_helpdesks
from classifier.helpdesks.port import Delivery, Event, Handshake
from classifier.helpdesks.setup import setup_of
from tests.helpdesks.cases import CASES, NOW_S, SECRET, SENDERS, Case, desk_of, entry_of
from tests.helpdesks.vectors import (
    HOUSE,
    HOUSE_BODY,
    HOUSE_SECRET,
    HUBSPOT_BODY,
    HUBSPOT_SECRET,
    HUBSPOT_TIME_MS,
    HUBSPOT_URL,
    PUBLISHED,
    ZENDESK_OUTDATED,
    ZENDESK_OUTDATED_BODY,
    ZENDESK_OUTDATED_SECRET,
    ZENDESK_OUTDATED_TIME,
    ZENDESK_TEST_SECRET,
)

URL = "https://tc.example.com/webhooks/x"
every_vendor = pytest.mark.parametrize("case", SENDERS.values(), ids=SENDERS)
SIGNING = {name: case for name, case in SENDERS.items() if "proof" not in case.entry}
every_signing_vendor = pytest.mark.parametrize("case", SIGNING.values(), ids=SIGNING)


def events(desk: object, delivery: Delivery) -> tuple[Event, ...]:
    """What a genuine delivery says."""
    desk.verify(delivery)  # type: ignore[attr-defined]
    found = desk.parse(delivery)  # type: ignore[attr-defined]
    assert not isinstance(found, Handshake)
    return found  # type: ignore[no-any-return]


def changed(delivery: Delivery, **changes: object) -> Delivery:
    """The same delivery with other parts."""
    return msgspec.structs.replace(delivery, **changes)


@every_vendor
def test_a_vendors_sample_arrives_as_a_ticket(case: Case) -> None:
    """The sample of the walk-through is genuine, and its parts land where they belong."""
    desk = desk_of(case)
    (event,) = events(desk, desk.sample(URL, NOW_S))
    assert (event.kind, event.account) == ("arrived", case.vendor)
    assert event.ticket_id
    assert event.key
    if event.ticket is not None:
        assert event.ticket.id == event.ticket_id
        assert event.ticket.body
        assert "<" not in event.ticket.body


@every_vendor
def test_the_second_secret_of_a_rotation_counts(case: Case) -> None:
    """While secrets are being changed, deliveries signed with either one come in."""
    sample = desk_of(case).sample(URL, NOW_S)
    entry = entry_of(case, secret_env=["NEXT_SECRET", "HOOK_SECRET"])
    other = "whsec_" + "c" * 40 if case.vendor == "generic" else "another-secret-of-length"
    environ = {"NEXT_SECRET": other, "HOOK_SECRET": case.secret, "API_KEY": "k"}
    open_helpdesk(entry, environ).verify(sample)


@every_vendor
def test_a_delivery_without_its_proof_is_refused(case: Case) -> None:
    """No header, no entry."""
    desk = desk_of(case)
    sample = desk.sample(URL, NOW_S)
    with pytest.raises(NotGenuine) as caught:
        desk.verify(changed(sample, headers={}))
    assert caught.value.doubt == "missing"


@every_signing_vendor
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_one_changed_byte_of_the_body_is_refused(case: Case, data: st.DataObject) -> None:
    """The signature covers every byte of the raw body."""
    desk = desk_of(case)
    sample = desk.sample(URL, NOW_S)
    place = data.draw(st.integers(0, len(sample.body) - 1))
    body = bytearray(sample.body)
    body[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(NotGenuine) as caught:
        desk.verify(changed(sample, body=bytes(body)))
    assert caught.value.doubt == "mismatch"


@every_signing_vendor
def test_a_body_that_was_parsed_and_written_again_is_refused(case: Case) -> None:
    """Only the raw bytes are signed: another spelling of the same JSON is another body."""
    desk = desk_of(case)
    sample = desk.sample(URL, NOW_S)
    again = msgspec.json.format(sample.body, indent=1)
    with pytest.raises(NotGenuine):
        desk.verify(changed(sample, body=again))


@every_vendor
def test_an_old_delivery_is_refused_where_its_time_is_signed(case: Case) -> None:
    """A recorded delivery cannot be played back after the window."""
    desk = desk_of(case)
    sample = desk.sample(URL, NOW_S)
    late = changed(sample, received_at_s=NOW_S + 301)
    if case.signs_time:
        with pytest.raises(NotGenuine) as caught:
            desk.verify(late)
        assert caught.value.doubt == "stale"
    else:
        desk.verify(late)  # nothing signed says when: the key of the event is what guards


@every_vendor
def test_a_duplicate_has_the_same_key(case: Case) -> None:
    """A vendor's retry, signed anew, is recognised by what it says."""
    desk = desk_of(case)
    first, again = (events(desk, desk.sample(URL, NOW_S + late_s)) for late_s in (0, 30))
    assert [event.key for event in first] == [event.key for event in again]


@every_vendor
def test_secrets_and_texts_stand_in_no_repr(case: Case) -> None:
    """What ends up in a log or a traceback tells neither secrets nor tickets."""
    desk = desk_of(case)
    sample = desk.sample(URL, NOW_S)
    (event,) = events(desk, sample)
    shown = repr([desk, desk.account, desk.account.api, sample, event])
    assert case.secret not in shown
    assert case.key not in shown or case.key == "none"
    assert event.ticket is None or event.ticket.body not in shown


_HEADER_NAMES = sorted(
    {name for case in SENDERS.values() for name in desk_of(case).sample(URL, NOW_S).headers}
)
_desks = {name: desk_of(case) for name, case in SENDERS.items()}
_latin = st.text(st.characters(max_codepoint=255), max_size=80)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)


@st.composite
def _mutated(draw: st.DrawFn, body: bytes) -> bytes:
    """A vendor's own body with one value replaced by anything: it gets past the first lookups."""
    value = msgspec.json.decode(body)
    place = value
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
            place[key] = draw(_json)
            return msgspec.json.encode(value)
        place = inner


@st.composite
def hostile(draw: st.DrawFn) -> tuple[Case, Delivery]:
    """Any bytes with any headers, or a vendor's delivery with something wrong in it."""
    case = draw(st.sampled_from(list(SENDERS.values())))
    sample = _desks[case.vendor].sample(URL, NOW_S)
    body = draw(
        st.binary(max_size=200)
        | st.just(b"[" * 5_000)
        | _json.map(msgspec.json.encode)
        | _mutated(sample.body)
        | st.just(sample.body)
    )
    others = draw(st.dictionaries(st.sampled_from(_HEADER_NAMES), _latin, max_size=3))
    headers = draw(st.sampled_from([{}, sample.headers])) | others
    method = draw(st.sampled_from(["POST", "HEAD", "GET", "PUT"]))
    return case, Delivery(method, draw(_latin), headers, body, draw(st.floats(0, 1e12)))


def test_no_delivery_raises_anything_else(pytestconfig: pytest.Config) -> None:
    """Whatever a stranger sends is refused by name, and whatever a body holds is read or refused."""
    rounds = 10_000 if pytestconfig.getoption("long") else 50
    settings(max_examples=rounds, deadline=None)(given(hostile())(_survives))()


def _survives(hostile: tuple[Case, Delivery]) -> None:
    case, delivery = hostile
    desk = _desks[case.vendor]
    with suppress(NotGenuine):
        desk.verify(delivery)
    try:
        found = desk.parse(delivery)
    except Malformed:
        return
    for event in found if not isinstance(found, Handshake) else ():
        assert event.kind in ("arrived", "changed", "ignored")
        assert event.kind == "ignored" or (event.key and event.ticket_id)
        assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event


_SIGNED = {vector.name: vector.signature for vector in HOUSE}
_HOUSE_HEADERS = {
    "zendesk": {
        "x-zendesk-webhook-signature": _SIGNED["zendesk"],
        "x-zendesk-webhook-signature-timestamp": "2026-11-22T10:00:00Z",
    },
    "intercom": {"x-hub-signature": _SIGNED["intercom, zammad"]},
    "zammad": {"x-hub-signature": _SIGNED["intercom, zammad"]},
    "helpscout": {"x-helpscout-signature": _SIGNED["helpscout, front rule"]},
    "front": {
        "x-front-signature": _SIGNED["front application"],
        "x-front-request-timestamp": "1795341600000",
    },
    "front rule": {"x-front-signature": _SIGNED["helpscout, front rule"]},
    "chatwoot": {
        "x-chatwoot-signature": _SIGNED["chatwoot"],
        "x-chatwoot-timestamp": "1795341600",
    },
    "jira": {"x-hub-signature": _SIGNED["jira"]},
    "hubspot": {
        "x-hubspot-signature-v3": _SIGNED["hubspot v3"],
        "x-hubspot-request-timestamp": "1795341600000",
    },
}


@pytest.mark.parametrize("name", _HOUSE_HEADERS)
def test_the_house_vectors_hold_through_the_doors(name: str) -> None:
    """What the schemes compute is what the vendors' doors ask for."""
    environ = {"HOOK_SECRET": HOUSE_SECRET.decode(), "API_KEY": "k"}
    desk = open_helpdesk(entry_of(CASES[name.split(maxsplit=1)[0]]), environ)
    url = "https://tc.example.com/hooks/hubspot"
    desk.verify(Delivery("POST", url, _HOUSE_HEADERS[name], HOUSE_BODY, NOW_S))


@pytest.mark.parametrize(
    ("secret", "id", "at", "body", "signature"),
    [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330",
            b'{"test": 2432232314}', "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_dGNfdGVzdF9zZWNyZXRfMjRfYnl0ZXMh", "msg_test4711", "1795341600",
            HOUSE_BODY, "v1,8aJ4npS92673dqcD8OCnbeCaR/RBxN2pR69Vs198efQ=",
        ),
    ],
    ids=["svix", "house"],
)  # fmt: skip
def test_standard_webhooks_vectors_hold(
    secret: str, id: str, at: str, body: bytes, signature: str
) -> None:
    """The published vector and our own; also as one of several signatures, and never by prefix."""
    desk = open_helpdesk(entry_of(SENDERS["generic"]), {"HOOK_SECRET": secret})
    headers = {"webhook-id": id, "webhook-timestamp": at, "webhook-signature": signature}
    other = "v1," + "A" * 43 + "="
    for sent in (signature, f"v1a,xyz {signature}", f"{other} {signature}", f"{signature} {other}"):
        desk.verify(Delivery("POST", URL, headers | {"webhook-signature": sent}, body, float(at)))
    for sent, doubt in (
        (other, "mismatch"),
        ("v1a,xyz", "malformed"),
        (signature[3:], "malformed"),
    ):
        with pytest.raises(NotGenuine) as caught:
            desk.verify(
                Delivery("POST", URL, headers | {"webhook-signature": sent}, body, float(at))
            )
        assert caught.value.doubt == doubt


def test_hubspots_vectors_hold_and_the_old_ones_by_setting_only() -> None:
    """The official client's test: v3 always, v1 and v2 only where the entry allows them."""
    environ = {"HOOK_SECRET": HUBSPOT_SECRET.decode(), "API_KEY": "k"}
    desk = open_helpdesk(entry_of(CASES["hubspot"]), environ)
    lenient = open_helpdesk(entry_of(CASES["hubspot"], old_signatures=True), environ)
    at_s = int(HUBSPOT_TIME_MS) / 1_000
    v3 = {
        "x-hubspot-signature-v3": PUBLISHED[2].signature,
        "x-hubspot-request-timestamp": HUBSPOT_TIME_MS,
    }
    for each in (desk, lenient):
        each.verify(Delivery("POST", HUBSPOT_URL, v3, HUBSPOT_BODY, at_s))
    v1 = hashlib.sha256(HUBSPOT_SECRET + HUBSPOT_BODY).hexdigest()
    v2 = hashlib.sha256(HUBSPOT_SECRET + b"POST" + HUBSPOT_URL.encode() + HUBSPOT_BODY).hexdigest()
    assert (v1[:8], v1[-4:], v2[:8], v2[-4:]) == ("69fc6631", "f750", "4fe4e3a7", "c383")
    for old in (v1, v2):
        delivery = Delivery("POST", HUBSPOT_URL, {"x-hubspot-signature": old}, HUBSPOT_BODY, at_s)
        lenient.verify(delivery)
        with pytest.raises(NotGenuine):
            desk.verify(delivery)
        with pytest.raises(NotGenuine):
            lenient.verify(changed(delivery, body=HUBSPOT_BODY + b" "))


def test_the_outdated_order_of_zendesk_is_refused() -> None:
    """An old page of the vendor's signs body before time: its vector must not verify."""
    environ = {"HOOK_SECRET": ZENDESK_OUTDATED_SECRET, "API_KEY": "k"}
    desk = open_helpdesk(entry_of(CASES["zendesk"]), environ)
    headers = {
        "x-zendesk-webhook-signature": ZENDESK_OUTDATED,
        "x-zendesk-webhook-signature-timestamp": ZENDESK_OUTDATED_TIME,
    }
    at_s = 1_627_207_200.0  # 2021-07-25T10:00:00Z
    with pytest.raises(NotGenuine) as caught:
        desk.verify(Delivery("POST", URL, headers, ZENDESK_OUTDATED_BODY, at_s))
    assert caught.value.doubt == "mismatch"


def test_the_secret_that_zendesk_publishes_is_never_a_secret() -> None:
    """Neither as a configured one nor on a delivery, which is counted under its own name."""
    case = CASES["zendesk"]
    with pytest.raises(ConfigError, match="test sends"):
        open_helpdesk(entry_of(case), {"HOOK_SECRET": ZENDESK_TEST_SECRET, "API_KEY": "k"})
    desk = desk_of(case)
    headers = desk.sign(HOUSE_BODY, URL, NOW_S, ZENDESK_TEST_SECRET.encode())
    with pytest.raises(NotGenuine) as caught:
        desk.verify(Delivery("POST", URL, headers, HOUSE_BODY, NOW_S))
    assert caught.value.doubt == "test_secret"


@every_vendor
def test_the_walk_throughs_config_opens(case: Case) -> None:
    """The entry that the docs show is one that the service takes."""
    (entry,) = _entries(setup_of(case.vendor).config)
    names = [*entry.secret_env, *filter(None, (entry.key_env,))]
    open_helpdesks((entry,), dict.fromkeys(names, case.secret))


TEMPLATED = {name: case for name, case in SENDERS.items() if setup_of(case.vendor).body}


@pytest.mark.parametrize("case", TEMPLATED.values(), ids=TEMPLATED)
def test_the_walk_throughs_body_is_understood(case: Case) -> None:
    """What an administrator pastes, with its placeholders filled in, arrives as a ticket."""
    filled = re.sub(r"{{[a-z._]+}}", "9317", setup_of(case.vendor).body).encode()
    desk = desk_of(case)
    headers = desk.sample(URL, NOW_S).headers
    found = desk.parse(Delivery("POST", URL, headers, filled, NOW_S))
    assert not isinstance(found, Handshake)
    assert [event.kind for event in found] == ["arrived"]
    assert [event.ticket_id for event in found] in (["9317"], ["4711"])


def test_examples_in_the_docs_are_valid() -> None:
    """Whatever docs/helpdesks.md shows as TOML is taken by the config."""
    page = (Path(__file__).parents[2] / "docs" / "helpdesks.md").read_text("utf-8")
    shown = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(shown) == 1 + len(SENDERS)
    for text in shown:
        if "[[helpdesks]]" in text:
            assert len(_entries(text)) == 1
        else:
            actions = Document("docs", text).tables["helpdesks"]["actions"]
            convert(Document("docs", ""), actions, Actions)


def _entries(toml: str) -> list[Helpdesk]:
    tables = Document("shown.toml", toml).tables["helpdesks"]
    return [convert(Document("shown.toml", ""), each, Helpdesk) for each in tables]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"secret_env": []}, "without a secret anybody"),
        ({"secret_env": ["NO_SUCH"]}, "set NO_SUCH"),
        ({"key_env": "NO_SUCH"}, "set NO_SUCH"),
        ({"key_env": None}, "actions need a key"),
        ({"base_url": "http://acme.zendesk.com"}, "must be https"),
        ({"base_url": "https://me:pw@acme.zendesk.com"}, "holds a password"),
        ({"login": "basic", "user": None}, "needs user"),
        ({"proof": "header", "secret_env": ["SHORT"]}, "at least 16"),
        ({"vendor": "freshdesk"}, 'set proof = "header"'),
        ({"vendor": "intercom", "own_user_id": None, "actions": {"tag": {}}}, "set own_user_id"),
        ({"vendor": "intercom"}, "no call for actions.priority"),
        ({"vendor": "hubspot", "actions": {"note": {}}}, 'suggest_with = "note"'),
        ({"vendor": "chatwoot"}, "set account_id"),
        ({"vendor": "jira", "base_url": None, "actions": {"tag": {}}}, "set base_url"),
        (
            {"vendor": "jira", "login": "client_credentials", "actions": {"tag": {}}},
            "takes login = basic or bearer",
        ),
    ],
)
def test_an_entry_that_could_only_fail_later_is_refused(changes: dict[str, Any], told: str) -> None:
    """The message says which entry it is and what to set."""
    environ = {"HOOK_SECRET": SECRET, "API_KEY": "k", "SHORT": "short"}
    with pytest.raises(ConfigError, match=f"helpdesk 'zendesk'.*{told}"):
        open_helpdesk(entry_of(CASES["zendesk"], **changes), environ)


def test_two_entries_cannot_share_a_name() -> None:
    """The name is the URL: two accounts behind one would mix up their tickets."""
    entry = entry_of(CASES["zendesk"])
    environ = {"HOOK_SECRET": SECRET, "API_KEY": "k"}
    with pytest.raises(ConfigError, match="rename one"):
        open_helpdesks((entry, entry), environ)
