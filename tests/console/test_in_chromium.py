"""The console as people meet it: keyboard, screen reader, phone, dark room, with and without a key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from k8s.monitoring.drawing.browser import Browser, Page
from tests.console.conftest import FIRST, SECOND, house
from tests.support.beside import beside
from tests.support.house import Service, edited

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
TAB_STOPS = ["subject", "body", "path", "send", "paths-title", "API", "Metrics", "Readiness"]
FOCUSED = """(() => {
  const at = document.activeElement;
  return at.id || at.getAttribute("aria-labelledby") || (at === document.body ? "" : at.textContent);
})()"""
RING = "(({outlineStyle, outlineWidth}) => [outlineStyle, outlineWidth])(getComputedStyle(document.activeElement))"

TOO_WIDE = """[...document.querySelectorAll("body *")]
  .filter((e) => e.checkVisibility() && e.getBoundingClientRect().width > 1)
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))"""


def seen(page: Page, selector: str) -> str:
    """The text of an element as it is shown."""
    return str(page.look(f"document.querySelector({json.dumps(selector)}).innerText"))


def tab_to(page: Page, name: str) -> None:
    """Presses Tab until something has the focus; fails when the keyboard does not get there."""
    for _ in range(20):
        if page.look(FOCUSED) == name:
            return
        page.press("Tab")
    raise AssertionError(f"no way to {name} by keyboard")


def classify(page: Page, text: str) -> None:
    """Tries a ticket by keyboard alone, and waits for its answer."""
    tab_to(page, "body")
    page.write(text)
    tab_to(page, "send")
    page.press("Enter")
    page.until("document.querySelector('#answer .label')")


@pytest.fixture
def console(browser: Browser, open_house: Service) -> Page:
    """The console with its state."""
    page = browser.page(open_house.url + "/")
    page.until("document.querySelector('#paths').rows.length === 2")
    return page


def test_ticket_by_keyboard_alone(console: Page) -> None:
    """Without a mouse a ticket is written, a path chosen and sent; the answer says all about it."""
    tab_to(console, "subject")
    console.write("Invoice 7")
    tab_to(console, "path")
    console.press("ArrowDown")
    assert console.look("document.querySelector('#path').value") == "short"
    classify(console, "charged twice")
    said = seen(console, "#answer")
    for part in (
        "billing",
        "short",
        "model",
        "99.0 %",
        "$0.0000324",
        "100 in, 2 out",
        "(simulated)",
    ):
        assert part in said
    stages = seen(console, "#answer .key").replace("\n", " ").split()
    assert (stages[0], stages[2], stages[3], stages[5]) == ("service", "ms", "model", "ms")
    assert float(stages[1]) > 0
    assert console.look("document.querySelector('#subject').value") == "Invoice 7"


def test_tab_goes_from_top_to_bottom(console: Page) -> None:
    """Tab stops follow the page, all of them show a ring, and none of them is a trap."""
    stops = []
    for _ in TAB_STOPS:
        console.press("Tab")
        stops.append(console.look(FOCUSED))
        style, width = console.look(RING)
        assert (style, float(width.removesuffix("px")) >= 2) == ("solid", True), stops[-1]
    assert stops == TAB_STOPS
    console.press("Tab", shift=True)
    assert console.look(FOCUSED) == TAB_STOPS[-2]


def test_screen_reader_finds_its_way(console: Page) -> None:
    """Landmarks, headings, a named control for each field, a table with heads, answers that are said."""
    tree = [(node["role"], node["name"]) for node in console.tree()]
    roles = [role for role, _ in tree]
    assert {"banner", "main", "contentinfo", "status"} <= set(roles)
    for wanted in (
        ("heading", "Ticket classifier"), ("region", "Try a ticket"), ("region", "Answer"),
        ("region", "Money"), ("region", "System"), ("navigation", "More"), ("textbox", "Subject"),
        ("textbox", "Text"), ("combobox", "Path"), ("button", "Classify"), ("link", "API"),
        ("columnheader", "p50 ms"), ("columnheader", "claim"),
    ):  # fmt: skip
        assert wanted in tree
    assert (roles.count("main"), roles.count("table"), roles.count("row")) == (1, 1, 3)
    controls = {"textbox", "combobox", "button", "link", "region", "image"}
    assert [role for role, name in tree if role in controls and not name] == []
    assert console.look("document.querySelector('#answer').ariaLive") == "polite"
    assert console.look("document.documentElement.lang") == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(browser: Browser, open_house: Service, scheme: str) -> None:
    """In both schemes text has a contrast of 4.5 (large text 3), the edges of fields have 3."""
    page = browser.page(open_house.url + "/", scheme=scheme)
    page.until("document.querySelector('#paths').rows.length === 2")
    classify(page, "contrast")
    page.until("!document.querySelector('#simulated').hidden")
    found = page.look(CONTRAST)
    assert len(found) > 60
    assert [one for one in found if one["ratio"] < one["wanted"]] == []
    (red, *_) = page.look("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g)")
    assert (int(red) < 60) == (scheme == "dark")


@pytest.mark.parametrize("width", [320, 360])
def test_phone_needs_no_sideways_scroll(browser: Browser, open_house: Service, width: int) -> None:
    """On a phone nothing is wider than the screen, with an answer and with long names."""
    page = browser.page(open_house.url + "/", width=width, height=640)
    page.until("document.querySelector('#paths').rows.length === 2")
    classify(page, "phone")
    assert page.look("document.documentElement.scrollWidth") <= width
    assert page.look(TOO_WIDE) == []
    roles = [node["role"] for node in page.tree()]
    assert roles.count("row") == 3  # the table is still one for a screen reader


def test_no_request_leaves_the_origin(console: Page, open_house: Service) -> None:
    """All that the page asks for comes from its service, and its policy would refuse the rest."""
    classify(console, "origin")
    assert {url.removeprefix(open_house.url) for url in console.asked} >= {"/", "/console/state"}
    assert [url for url in console.asked if not url.startswith(open_house.url + "/")] == []
    assert console.errors == []
    refused = """new Promise((tell) => {
      document.addEventListener("securitypolicyviolation", (event) => tell(event.violatedDirective));
      fetch("http://127.0.0.1:9/").catch(() => 0);
    })"""
    assert console.look(refused) == "connect-src"


def test_key_opens_and_is_forgotten(browser: Browser, locked_house: Service) -> None:
    """Without a key only the question for it is seen; a wrong one is told; a right one is kept nowhere."""
    page = browser.page(locked_house.url + "/")
    page.until("!document.querySelector('#unlock').hidden")
    assert not page.look("document.querySelector('#grid').checkVisibility()")
    for key, state in (("not-a-key-0123456789", "does not know"), (SECOND, "")):
        page.look("document.querySelector('#key').value = ''")
        tab_to(page, "key")
        page.write(key)
        page.press("Enter")
        wanted = json.dumps(state)
        page.until(
            f"{wanted} ? document.querySelector('#trouble').textContent.includes({wanted})"
            " : document.querySelector('#paths').rows.length === 2"
        )
    assert page.look(FOCUSED) == "subject"
    assert not page.look("document.querySelector('#unlock').checkVisibility()")
    classify(page, "with a key")
    assert page.look("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
    assert not [url for url in page.asked if "key" in url]
    page.go(locked_house.url + "/")
    page.until("!document.querySelector('#unlock').hidden")
    assert page.look("document.querySelector('#key').value") == ""


def test_lost_key_locks_again(browser: Browser, locked_house: Service) -> None:
    """A key that stops working while the page is open brings the question back, not a broken page."""
    page = browser.page(locked_house.url + "/")
    page.until("!document.querySelector('#unlock').hidden")
    tab_to(page, "key")
    page.write(FIRST)
    page.press("Enter")
    page.until("document.querySelector('#paths').rows.length === 2")
    page.look("document.querySelector('#key').value = 'rotated-away-012345'")
    tab_to(page, "send")
    page.press("Enter")
    page.until("document.querySelector('#trouble').textContent.includes('does not know')")
    assert page.look("document.querySelector('#key').checkVisibility()")


def test_saving_stands_beside_its_claim(console: Page) -> None:
    """The measured saving, its verdict and that it is simulated stand below the claimed one."""
    classify(console, "what it costs")
    console.until("document.querySelector('#money').innerText.includes('today')")
    said = seen(console, "#money")
    assert "90 % against long alone" in said
    assert "the claim does not hold (simulated)" in said
    assert "Simulated models" in seen(console, "#simulated")


def test_trouble_is_told(browser: Browser, tmp_path: Path) -> None:
    """What only a restart makes live, a 503 and a service that went away: each is said in words."""
    config = tmp_path / "classifier.toml"
    with beside(lambda: house(tmp_path)) as running:
        page = browser.page(running.url + "/")
        page.until("document.querySelector('#paths').rows.length === 2")
        edited(config, "[claims]", "[cache]\nenabled = false\n[claims]")
        page.until("document.querySelector('#waiting').checkVisibility()")
        assert seen(page, "#waiting").endswith("only after a restart: cache.enabled")
        assert "memory" in seen(page, "#system")
        page.look(
            "document.querySelector('#path').add(new Option('nowhere', 'nowhere', true, true))"
        )
        classify(page, "x")
        assert "there is no path 'nowhere'" in seen(page, "#answer")
    page.until("document.querySelector('#trouble').innerText.includes('No state')")
