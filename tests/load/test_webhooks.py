"""The scenario of a helpdesk that sends: what it sends is genuine, and what it counts is the loop's end."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.config.load import SHIPPED, load
from classifier.errors import NotGenuine
from classifier.helpdesks.accounts import open_helpdesks
from classifier.helpdesks.desk import Desk
from classifier.helpdesks.port import Delivery
from loadtests import house
from loadtests.answers import Answer, Times, read_answer
from loadtests.limits import Evidence, labelled_share
from loadtests.metrics import Page
from loadtests.run import Run
from loadtests.scenario import Plan, plan
from loadtests.scenarios import find
from loadtests.schedule import Arrival, schedule
from loadtests.settings import SHIPPED_DATA, Settings
from loadtests.traffic import read_rows
from loadtests.webhooks import signed

SETTINGS = Settings(scenario="webhooks", target="http://127.0.0.1:1", data=SHIPPED_DATA)
PLAN: Plan = plan(find("webhooks"), SETTINGS)


def _arrival() -> Arrival:
    return next(iter(schedule(PLAN, read_rows(SHIPPED_DATA), 1, "mark")))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The account of the scenario's own config, as the service opens it."""
    text = (house.SCENARIOS / "webhooks.toml").read_text()
    file: Path = tmp_path_factory.mktemp("config") / "webhooks.toml"
    file.write_text(text.replace("SHIPPED", str(SHIPPED)).replace('HELPDESK"', 'http://h:1"'))
    environ = {"LOAD_HELPDESK_SECRET": house.HELPDESK_SECRET}
    return open_helpdesks(load(file, environ).config.helpdesks, environ)["load"]


def _delivery(body: bytes, headers: dict[str, str]) -> Delivery:
    return Delivery("POST", "http://h/webhooks/load", headers, body, time.time())


def test_the_service_takes_what_the_generator_sends(desk: Desk) -> None:
    """Signature, body and ticket of an arrival are what the service reads out of it."""
    arrival = _arrival()
    delivery = _delivery(arrival.body, signed(house.HELPDESK_SECRET, arrival.body))
    desk.verify(delivery)
    parsed = desk.parse(delivery)
    assert isinstance(parsed, tuple)
    sent = json.loads(arrival.body)["data"]
    assert (parsed[0].kind, parsed[0].ticket_id) == ("arrived", sent["id"])
    assert parsed[0].ticket is not None
    assert parsed[0].ticket.body == sent["body"]


@given(changed=st.binary(min_size=1, max_size=8), at=st.integers(0, 1_000))
def test_a_changed_delivery_is_refused(desk: Desk, changed: bytes, at: int) -> None:
    """The load proves that signatures are checked: another body under the same headers is a 401."""
    arrival = _arrival()
    body = arrival.body[:at] + changed + arrival.body[at:]
    with pytest.raises(NotGenuine):
        desk.verify(_delivery(body, signed(house.HELPDESK_SECRET, arrival.body)))


def test_an_acknowledgement_is_a_success_without_a_label() -> None:
    """A 2xx says that the event is safe, a 503 that it is not; neither is taken for a classification."""
    arrival, times = _arrival(), Times(0.0, 1.0, 1.0, 1.02)
    taken = read_answer(arrival, Answer(200, b"", {}), times)
    assert (taken.ok, taken.source, taken.nanodollars) == (True, "acknowledged", None)
    assert not read_answer(arrival, Answer(503, b"", {"retry-after": "5"}), times).ok


def test_deliveries_without_a_label_break_the_verdict() -> None:
    """Counted are tickets that were written back, of the deliveries that were accepted meanwhile."""
    page = (
        'classifier_webhook_deliveries_total{{account="load",outcome="accepted"}} {}\n'
        'classifier_webhook_deliveries_total{{account="load",outcome="duplicate"}} 7\n'
        'classifier_loop_duration_seconds_count{{account="load"}} {}\n'
    )
    run = Run(settings=SETTINGS, plan=PLAN, before=Page(page.format(20, 20)))
    run.after = Page(page.format(120, 105))
    assert run.labelled == 85.0
    limit = next(each for each in PLAN.limits if each.name == "labelled")
    assert labelled_share(Evidence(samples=(), labelled=85.0)) == 85.0
    assert not limit.holds(85.0)
    assert limit.holds(97.0)
    assert Run(settings=SETTINGS, plan=PLAN).labelled is None
