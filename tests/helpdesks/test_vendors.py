"""What each vendor's payloads say, in shapes that its documents describe."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from classifier.helpdesks.desk import Desk
from classifier.helpdesks.port import Change, Delivery, Event, Handshake, Held
from classifier.helpdesks.setup import setup_of
from tests.helpdesks.cases import NOW_S, SENDERS, desk_of

URL = "https://tc.example.com/webhooks/x"


def said(desk: Desk, body: Any, **headers: str) -> tuple[Event, ...]:
    """The events of a body; headers by name, with `_` for `-`."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    found = desk.parse(Delivery("POST", URL, names, msgspec.json.encode(body), NOW_S))
    assert not isinstance(found, Handshake)
    return found


def sample(vendor: Any) -> Any:
    """The walk-through's sample, to be varied."""
    return msgspec.json.decode(setup_of(vendor).sample)


# --------------------------------------------------------------------------------- Zendesk


def zendesk_event(topic: str, event: dict[str, Any], actor: str = "31") -> dict[str, Any]:
    """A change of the sample's ticket by somebody."""
    body: dict[str, Any] = sample("zendesk")
    body |= {"type": f"zen:event-type:ticket.{topic}", "event": event}
    body["detail"]["actor_id"] = actor
    return body


@pytest.mark.parametrize(
    ("topic", "event", "change"),
    [
        (
            "tags_changed",
            {"tags_added": ["tc_shipping"], "tags_removed": ["tc_billing"]},
            Change("tag", ("tc_shipping",), ("tc_billing",)),
        ),
        (
            "custom_field_changed",
            {"field": {"id": 36001}, "current": "shipping", "previous": "billing"},
            Change("field", ("shipping",), ("billing",)),
        ),
        (
            "priority_changed",
            {"current": "URGENT", "previous": None},
            Change("priority", ("urgent",)),
        ),
        ("group_assignment_changed", {"current": "77"}, Change("group", ("77",))),
    ],
)
def test_zendesk_changes(topic: str, event: dict[str, Any], change: Change) -> None:
    """Every change that a label hangs on is told, with the actor, who may be us."""
    desk = desk_of(SENDERS["zendesk"])
    for actor, own in (("31", False), ("7009", True)):
        (found,) = said(desk, zendesk_event(topic, event, actor))
        assert (found.kind, found.changes, found.own) == ("changed", (change,), own)
        assert (found.ticket_id, found.actor) == ("48151", actor)


def test_zendesk_passes_over_what_is_not_for_it() -> None:
    """Other fields, other events and other accounts are acknowledged and forgotten."""
    desk = desk_of(SENDERS["zendesk"])
    other = {"field": {"id": 1}, "current": "a", "previous": "b"}
    (found,) = said(desk, zendesk_event("custom_field_changed", other))
    assert (found.kind, found.why) == ("ignored", "unknown")
    (found,) = said(desk, {"type": "zen:event-type:user.created", "id": "1"})
    assert (found.kind, found.why) == ("ignored", "unknown")
    (found,) = said(desk_of(SENDERS["zendesk"], account_id="1"), sample("zendesk"))
    assert (found.kind, found.why) == ("ignored", "foreign")


def test_zendesk_replies_by_setting() -> None:
    """A customer's comment is a ticket of its own only where the entry says so; an agent's never."""
    comment = {
        "comment": {"body": "Still broken", "is_public": True, "author": {"is_staff": False}}
    }
    body = zendesk_event("comment_added", comment)
    (found,) = said(desk_of(SENDERS["zendesk"]), body)
    assert (found.kind, found.why) == ("ignored", "reply")
    desk = desk_of(SENDERS["zendesk"], replies=True)
    (found,) = said(desk, body)
    assert found.ticket is not None
    assert found.ticket.body == "Still broken"
    comment["comment"]["author"] = {"is_staff": True}
    (found,) = said(desk, zendesk_event("comment_added", comment))
    assert (found.kind, found.why) == ("ignored", "agent")


def test_zendesk_triggers_are_thin() -> None:
    """A trigger's body names the ticket; its text is fetched, because a comment can break JSON."""
    body = {
        "event": "created",
        "ticket_id": "48151",
        "updated_at": "2026-11-22T10:00:00Z",
        "actor_id": "31",
    }
    desk = desk_of(SENDERS["zendesk"])
    (found,) = said(desk, body)
    assert (found.kind, found.ticket, found.ticket_id) == ("arrived", None, "48151")
    (again,) = said(desk, body | {"updated_at": "2026-11-22T10:00:09Z"})
    (event,) = said(desk, sample("zendesk"))
    assert again.key == event.key == found.key  # the same arrival, told three times


# ------------------------------------------------------------------------------- Freshdesk


def test_freshdesk_own_template_and_its_updates() -> None:
    """The rule's thin body arrives; an update tells the values that a label hangs on."""
    desk = desk_of(SENDERS["freshdesk"])
    (found,) = said(desk, {"event": "created", "ticket_id": "9317", "updated_at": "x"})
    assert (found.kind, found.ticket, found.key) == ("arrived", None, "created:9317")
    update = {
        "event": "updated", "ticket_id": "9317", "updated_at": "2026-11-22T10:00:00Z",
        "ticket_tags": "vip, tc_shipping", "field": "shipping",
    }  # fmt: skip
    (found,) = said(desk, update)
    assert (found.kind, found.held) == ("changed", Held(("vip", "tc_shipping"), "shipping"))


# -------------------------------------------------------------------------------- Intercom


def test_intercom_set_up_and_pings() -> None:
    """HEAD is unsigned and gets its 200; so does a ping, whose id is null."""
    desk = desk_of(SENDERS["intercom"])
    head = Delivery("HEAD", URL, {}, b"", NOW_S)
    desk.verify(head)
    ping = {"type": "notification_event", "topic": "ping", "id": None}
    delivery = Delivery("POST", URL, {}, msgspec.json.encode(ping), NOW_S)
    for each in (head, delivery):
        found = desk.parse(each)
        assert isinstance(found, Handshake)
        assert found.answer.status == 200


def test_intercom_tickets_and_parts() -> None:
    """A ticket has attributes for subject and text; a wrapped one is unwrapped; tags are changes."""
    desk = desk_of(SENDERS["intercom"])
    attributes = {"_default_title_": "VPN", "_default_description_": "<p>It drops</p>"}
    ticket = {"type": "ticket", "id": "77", "ticket_attributes": attributes}
    for item in (ticket, {"ticket": ticket}):
        body = sample("intercom") | {"topic": "ticket.created", "data": {"item": item}}
        (found,) = said(desk, body)
        assert found.ticket is not None
        assert (found.ticket_id, found.ticket.subject, found.ticket.body) == (
            "ticket-77", "VPN", "It drops",
        )  # fmt: skip
    part = {"id": "5", "conversation": {"id": "88"}, "tags": {"tags": [{"name": "tc_shipping"}]}}
    topic = {"topic": "conversation_part.tag.created", "data": {"item": part}}
    (found,) = said(desk, sample("intercom") | topic)
    assert (found.ticket_id, found.changes) == (
        "conversation-88",
        (Change("tag", ("tc_shipping",)),),
    )


def test_intercom_changed_attributes_show_what_stands_there() -> None:
    """A ticket's attribute changed: the values after it are told, the actor is not."""
    item = {"id": "77", "ticket_attributes": {"intent": "shipping"}, "team_assignee_id": 0}
    body = sample("intercom") | {"topic": "ticket.attribute.updated", "data": {"item": item}}
    (found,) = said(desk_of(SENDERS["intercom"]), body)
    assert (found.kind, found.own, found.held) == ("changed", None, Held(field="shipping"))


# ------------------------------------------------------------------------------ Help Scout


def test_help_scout_events_are_named_by_a_header() -> None:
    """The body is the bare conversation; what happened stands in a header."""
    desk = desk_of(SENDERS["helpscout"])
    body = sample("helpscout") | {
        "tags": [{"id": 1, "tag": "tc_shipping"}],
        "customFields": [{"id": 9, "name": "Intent", "value": "12"}],
        "assignee": {"id": 55},
    }
    (found,) = said(desk, body, x_helpscout_event="convo.tags")
    assert (found.kind, found.held) == ("changed", Held(("tc_shipping",), "12", None, "55"))
    (found,) = said(desk, body, x_helpscout_event="convo.deleted")
    assert (found.kind, found.why) == ("ignored", "unknown")
    (first,) = said(desk, body, x_helpscout_event="convo.created")
    (again,) = said(desk, body | {"tags": []}, x_helpscout_event="convo.created")
    assert first.key == again.key


# ----------------------------------------------------------------------------------- Front


def test_front_challenge_is_echoed_as_plain_text() -> None:
    """Only a token comes back; what could be markup does not."""
    desk = desk_of(SENDERS["front"])
    for challenge, echoed in (("abc-123=", b"abc-123="), ("<script>", b""), ("", b"")):
        headers = {"x-front-challenge": challenge}
        found = desk.parse(Delivery("POST", URL, headers, b'{"type":"sync"}', NOW_S))
        assert isinstance(found, Handshake)
        assert (found.answer.status, found.answer.body) == (200, echoed)
        assert found.answer.headers["content-type"] == "text/plain"


@pytest.mark.parametrize(("source", "own"), [("teammate", False), ("api", True), ("rule", True)])
def test_front_corrections_come_from_teammates(source: str, own: bool) -> None:  # noqa: FBT001 -- a table's column
    """A tag that a rule or an API set is no agent's opinion; a rule webhook has no envelope."""
    event = sample("front")["payload"] | {
        "type": "tag",
        "source": {"_meta": {"type": source}, "data": {"id": "tea_1"}},
        "target": {"_meta": {"type": "tag"}, "data": {"id": "tag_9", "name": "tc_shipping"}},
    }
    for body in (event, {"type": "tag", "payload": event}):
        (found,) = said(desk_of(SENDERS["front"]), body)
        assert (found.changes, found.own) == ((Change("tag", ("tc_shipping",)),), own)


def test_front_previews_are_fetched() -> None:
    """A rule may send a message without its text: then the event is thin."""
    body = sample("front")
    body["payload"]["target"]["data"] = {"id": "msg_77a"}
    (found,) = said(desk_of(SENDERS["front"]), body)
    assert (found.kind, found.ticket, found.ticket_id) == ("arrived", None, "cnv_81b")


def test_chats_are_classified_once_or_message_by_message() -> None:
    """Where nothing tells a first message, the conversation's key lets one through, by setting all."""
    for vendor, place in (
        ("front", ("payload", "id")),
        ("chatwoot", ("id",)),
        ("zammad", ("article", "id")),
    ):
        bodies = [sample(vendor), sample(vendor)]
        inner = bodies[1]
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = "another"
        case = SENDERS[vendor]
        for replies, keys in ((False, 1), (True, 2)):
            desk = desk_of(case, replies=replies)
            assert len({said(desk, body)[0].key for body in bodies}) == keys


# ---------------------------------------------------------------------------------- Zammad


def test_zammad_tells_customers_from_agents_and_from_us() -> None:
    """The customer's own act arrives; an agent's is a change; ours is known by its actor."""
    desk = desk_of(SENDERS["zammad"])
    body = sample("zammad")
    for actor, kind, own in ((44, "arrived", False), (31, "changed", False), (12, "changed", True)):
        body["ticket"]["updated_by"] = {"id": actor}
        (found,) = said(desk, body)
        assert (found.kind, found.own) == (kind, own)
    assert found.held == Held(priority="2 normal", group="IT")


def test_zammad_html_is_read_as_text() -> None:
    """An article in HTML loses its markup; a plain one keeps what looks like it."""
    for content_type, text in (("text/html", "It drops\nalways"), ("text/plain", "It<br>drops")):
        body = sample("zammad")
        shown = "It drops<br>always" if content_type == "text/html" else "It<br>drops"
        body["article"] |= {"content_type": content_type, "body": shown}
        (found,) = said(desk_of(SENDERS["zammad"]), body)
        assert found.ticket is not None
        assert found.ticket.body == text


# -------------------------------------------------------------------------------- Chatwoot


def test_chatwoot_changes_and_other_messages() -> None:
    """Changed labels and attributes are told; agents' messages and private notes are passed over."""
    desk = desk_of(SENDERS["chatwoot"])
    changed = [
        {
            "label_list": {
                "previous_value": ["tc_billing", "vip"],
                "current_value": ["vip", "tc_shipping"],
            }
        },
        {"custom_attributes": {"previous_value": {}, "current_value": {"intent": "shipping"}}},
        {"waiting_since": {"previous_value": 1, "current_value": 2}},
    ]
    body = {
        "event": "conversation_updated", "id": 613, "account": {"id": 1}, "updated_at": 1795341700,
        "labels": ["vip", "tc_shipping"], "changed_attributes": changed,
    }  # fmt: skip
    (found,) = said(desk, body)
    assert found.changes == (
        Change("tag", ("tc_shipping",), ("tc_billing",)),
        Change("field", ("shipping",)),
    )
    (found,) = said(desk, body | {"changed_attributes": changed[2:]})
    assert (found.kind, found.why) == ("ignored", "unknown")
    for other in ({"message_type": "outgoing"}, {"private": True}):
        (found,) = said(desk, sample("chatwoot") | other)
        assert (found.kind, found.why) == ("ignored", "agent")
    (found,) = said(desk, sample("chatwoot") | {"account": {"id": 2}})
    assert (found.kind, found.why) == ("ignored", "foreign")


def test_chatwoot_new_conversations_and_their_first_message_are_one() -> None:
    """Both events may come for one arrival; they share a key."""
    desk = desk_of(SENDERS["chatwoot"])
    body = {
        "event": "conversation_created", "id": 613, "account": {"id": 1}, "channel": "Channel::Email",
        "messages": [{"id": 30211, "content": "Where is it?", "message_type": 0}],
    }  # fmt: skip
    (first,) = said(desk, body)
    (message,) = said(desk, sample("chatwoot"))
    assert (first.kind, first.key) == ("arrived", message.key)
    (empty,) = said(desk, body | {"messages": []})
    assert (empty.kind, empty.why) == ("ignored", "empty")


# ------------------------------------------------------------------------------------ Jira


def test_jira_changes_and_documents() -> None:
    """The change log tells from and to; a description may be a document of blocks."""
    desk = desk_of(SENDERS["jira"])
    items = [
        {"field": "labels", "fromString": "vip tc_billing", "toString": "vip tc_shipping"},
        {"field": "Intent", "fieldId": "customfield_1", "fromString": "", "toString": "shipping"},
        {"field": "priority", "fromString": "Medium", "toString": "High"},
        {"field": "status", "fromString": "Open", "toString": "Done"},
    ]
    body = sample("jira") | {"webhookEvent": "jira:issue_updated", "changelog": {"items": items}}
    (found,) = said(desk, body)
    assert found.changes == (
        Change("tag", ("tc_shipping",), ("tc_billing",)),
        Change("field", ("shipping",)),
        Change("priority", ("High",), ("Medium",)),
    )
    for account, kind, own in (
        ("5f-aa00", "customer", True),
        ("x", "app", True),
        ("x", "atlassian", False),
    ):
        body["user"] = {"accountId": account, "accountType": kind}
        assert said(desk, body)[0].own is own
    lines = [{"type": "paragraph", "content": [{"type": "text", "text": each}]} for each in "ab"]
    body = sample("jira")
    body["issue"]["fields"]["description"] = {"type": "doc", "content": lines}
    (found,) = said(desk, body)
    assert found.ticket is not None
    assert found.ticket.body == "a\nb"


# --------------------------------------------------------------------------------- HubSpot


def test_hubspot_arrays_are_split() -> None:
    """One request, several events: each has a key, and tickets are to be fetched."""
    (created,) = sample("hubspot")
    change = created | {
        "eventId": 2, "subscriptionType": "ticket.propertyChange", "propertyName": "intent",
        "propertyValue": "shipping", "changeSource": "CRM_UI", "sourceId": "userId:31",
    }  # fmt: skip
    ours = change | {"eventId": 3, "changeSource": "INTEGRATION", "sourceId": "9001"}
    other = change | {"eventId": 4, "propertyName": "subject"}
    found = said(desk_of(SENDERS["hubspot"]), [created, change, ours, other])
    assert [event.kind for event in found] == ["arrived", "changed", "changed", "ignored"]
    assert (found[0].ticket, found[0].ticket_id) == (None, "1830042")
    assert [event.own for event in found[1:3]] == [False, True]
    assert found[1].changes == (Change("field", ("shipping",)),)
    foreign = said(desk_of(SENDERS["hubspot"], account_id="1"), [created])
    assert foreign[0].why == "foreign"


# --------------------------------------------------------------------------------- generic


def test_generic_bodies_are_read_where_the_entry_says() -> None:
    """Paths into objects and lists; the key is the signed id or what stands at its path."""
    paths = {
        "id": "case.number",
        "body": "case.messages.0.text",
        "subject": "case.title",
        "key": "event",
    }
    desk = desk_of(SENDERS["generic"], paths=paths)
    body = {"event": "e9", "case": {"number": 7, "title": "Hi", "messages": [{"text": "Broken"}]}}
    (found,) = said(desk, body, webhook_id="msg_1")
    assert found.ticket is not None
    assert (found.key, found.ticket_id) == ("e9", "7")
    assert (found.ticket.subject, found.ticket.body) == ("Hi", "Broken")


def test_generic_corrections() -> None:
    """An agent's label comes in by the same door, and is never taken for our own."""
    desk = desk_of(SENDERS["generic"])
    data = {"id": "7", "label": "shipping", "previous": "billing", "by": "31"}
    (event,) = said(desk, {"type": "ticket.corrected", "data": data}, webhook_id="msg_2")
    found = desk.correction(event, None)
    assert found is not None
    assert (found.from_label, found.to_label, found.by) == ("billing", "shipping", "31")
