"""The first route that matches decides, the same way for the same ticket, and no plan is impossible."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.config.schema import Escalate, Route
from classifier.errors import ConfigError
from classifier.records import Ticket
from classifier.routing import Plan, Router, position

PATHS = ("short", "long", "decide")
IDS = [f"ticket-{number}" for number in range(50_000)]
TICKET = Ticket(body="My invoice is wrong.")


def router(*routes: dict[str, Any], paths: tuple[str, ...] = PATHS) -> Router:
    """A router over routes as they stand in a config file."""
    return Router(msgspec.convert(routes, tuple[Route, ...]), paths)


def chosen(route: dict[str, Any], ticket: Ticket, sticky_id: str = "1") -> bool:
    """Whether a route with these conditions takes the ticket."""
    found = router({"name": "mine", "path": "decide", **route})
    return found.choose(ticket, sticky_id).route == "mine"


def share_of(found: Router, *, path: str) -> float:
    """How many of the 50,000 ids are asked on a path first."""
    return Counter(found.choose(TICKET, sticky_id).path for sticky_id in IDS)[path] / len(IDS)


def four_sigma(share: float) -> float:
    """Sampling error of a share among 50,000 independent ids, four times its deviation."""
    return 4 * math.sqrt(share * (1 - share) / len(IDS))


def test_first_match_wins() -> None:
    """Routes are tried in the file's order; a later one that fits as well is not asked."""
    found = router(
        {"name": "german", "path": "long", "when": {"languages": ["de"]}},
        {"name": "mail", "path": "decide", "when": {"channels": ["email"]}},
        {"name": "rest", "path": "short"},
    )
    both = Ticket(body="x", language="de", channel="email")
    assert found.choose(both, "1") == Plan("german", "long")
    assert found.choose(Ticket(body="x", channel="email"), "1") == Plan("mail", "decide")
    assert found.choose(Ticket(body="x"), "1") == Plan("rest", "short")


def test_route_without_conditions_takes_every_ticket() -> None:
    """What stands behind it is never reached."""
    found = router(
        {"name": "all", "path": "decide"},
        {"name": "german", "path": "long", "when": {"languages": ["de"]}},
    )
    assert found.choose(Ticket(body="x", language="de"), "1").route == "all"


def test_default_route_takes_what_is_left() -> None:
    """Without a matching route it is short first, long when unsure or after an error."""
    plan = Plan("default", "short", (Escalate(to="long", below=0.6),), ("long",))
    german = {"name": "german", "path": "long", "when": {"languages": ["de"]}}
    assert router().choose(TICKET, "1") == plan
    assert router(german).choose(TICKET, "1") == plan


@pytest.mark.parametrize(
    ("paths", "first"), [(("only",), "only"), (("b", "a"), "b"), (("long", "x"), "long")]
)
def test_default_route_with_other_names_is_the_first_path(
    paths: tuple[str, ...], first: str
) -> None:
    """Where there is no short and long, nothing is assumed about which path is better."""
    assert router(paths=paths).choose(TICKET, "1") == Plan("default", first)


def test_forced_path_is_asked_alone() -> None:
    """A caller's own wish is neither escalated nor replaced."""
    assert router().forced("short") == Plan("forced", "short")


@pytest.mark.parametrize(
    ("when", "ticket", "takes"),
    [
        ({"languages": ["de", "fr"]}, Ticket(body="x", language="fr"), True),
        ({"languages": ["de", "fr"]}, Ticket(body="x", language="FR"), True),
        ({"languages": ["de", "fr"]}, Ticket(body="x", language="en"), False),
        ({"languages": ["de", "fr"]}, Ticket(body="x"), False),
        ({"channels": ["Email"]}, Ticket(body="x", channel="email"), True),
        ({"channels": ["email"]}, Ticket(body="x", channel="chat"), False),
        ({"channels": ["email"]}, Ticket(body="x"), False),
        ({"tags": ["vip", "trial"]}, Ticket(body="x", tags=("new", "vip")), True),
        ({"tags": ["vip"]}, Ticket(body="x", tags=("new",)), False),
        ({"tags": ["vip"]}, Ticket(body="x"), False),
        ({"min_chars": 5}, Ticket(body="abc", subject="de"), True),
        ({"min_chars": 6}, Ticket(body="abc", subject="de"), False),
        ({"max_chars": 5}, Ticket(body="abc", subject="de"), True),
        ({"max_chars": 4}, Ticket(body="abc", subject="de"), False),
        ({"max_chars": 0}, Ticket(body=""), True),
        ({"languages": ["de"], "tags": ["vip"]}, Ticket(body="x", language="de"), False),
        ({"languages": ["de"], "min_chars": 2}, Ticket(body="xx", language="de"), True),
    ],
)
def test_every_condition_must_hold(when: dict[str, Any], ticket: Ticket, *, takes: bool) -> None:
    """Languages, channels, tags and size decide, all together; an unknown value fits none."""
    assert chosen({"when": when}, ticket) is takes


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.999])
def test_share_takes_its_part(share: float) -> None:
    """A share is what it says, up to what chance does to 50,000 tickets."""
    found = router({"name": "part", "path": "decide", "when": {"share": share}})
    assert share_of(found, path="decide") == pytest.approx(share, abs=four_sigma(share))


@pytest.mark.parametrize(("share", "takes"), [(0.0, 0.0), (1.0, 1.0)])
def test_share_of_nothing_and_of_all_is_exact(share: float, takes: float) -> None:
    """0 is no ticket and 1 is every ticket."""
    found = router({"name": "part", "path": "decide", "when": {"share": share}})
    assert share_of(found, path="decide") == takes


def test_split_keeps_its_shares() -> None:
    """Every part of a split is what it says, up to what chance does to 50,000 tickets."""
    split = {"short": 0.7, "long": 0.25, "decide": 0.05}
    found = router({"name": "test", "split": split})
    counts = Counter(found.choose(TICKET, sticky_id).path for sticky_id in IDS)
    for path, share in split.items():
        assert counts[path] / len(IDS) == pytest.approx(share, abs=four_sigma(share))


def test_split_never_takes_a_path_without_a_share() -> None:
    """A share of 0 switches a path off, wherever it stands."""
    found = router({"name": "test", "split": {"decide": 0.0, "short": 1.0, "long": 0.0}})
    assert share_of(found, path="short") == 1.0


def test_split_allows_for_binary_fractions() -> None:
    """0.7 + 0.1 + 0.2 is 0.9999999999999999 to a computer and 1 to a person."""
    found = router({"name": "test", "split": {"short": 0.7, "long": 0.1, "decide": 0.2}})
    assert found.choose(TICKET, "1").path in PATHS


@given(st.text(max_size=40))
def test_same_ticket_goes_the_same_way(sticky_id: str) -> None:
    """Any id is sticky, across replicas and restarts: nothing but id and route's name counts."""
    route = {"name": "test", "split": {"short": 0.5, "long": 0.5}}
    plan = router(route).choose(TICKET, sticky_id)
    assert router(route).choose(Ticket(body="another text"), sticky_id) == plan
    assert plan.path == ("short" if position(sticky_id, "split:test") < 0.5 else "long")


def test_position_is_the_same_tomorrow() -> None:
    """A release moves no ticket: BLAKE2b of the id, keyed with the salt, as hashlib gives it."""
    assert position("ticket-1", "split:test") == 0.026419962203022566


@given(st.text(st.characters(categories=["Cs", "L"]), max_size=5))
def test_position_is_a_share(sticky_id: str) -> None:
    """A place in [0, 1) for any id, even one that is no valid text."""
    assert 0.0 <= position(sticky_id, "when:x") < 1.0


def test_two_routes_draw_independently() -> None:
    """The tickets of one share are not the same ones as those of another route's share."""
    first = router({"name": "one", "path": "decide", "when": {"share": 0.5}})
    other = router({"name": "two", "path": "decide", "when": {"share": 0.5}})
    both = sum(
        first.choose(TICKET, sticky_id).route == "one"
        and other.choose(TICKET, sticky_id).route == "two"
        for sticky_id in IDS
    )
    assert both / len(IDS) == pytest.approx(0.25, abs=four_sigma(0.25))


def test_shadow_is_asked_for_its_share() -> None:
    """The measured part is drawn apart from the split, so that it sees both of its sides."""
    split = {"short": 0.5, "long": 0.5}
    shadow = {"path": "decide", "share": 0.1}
    found = router({"name": "test", "split": split, "shadow": shadow})
    plans = [found.choose(TICKET, sticky_id) for sticky_id in IDS]
    counts = Counter((plan.path, plan.shadow) for plan in plans)
    assert counts["short", "decide"] / len(IDS) == pytest.approx(0.05, abs=four_sigma(0.05))
    assert counts["long", "decide"] / len(IDS) == pytest.approx(0.05, abs=four_sigma(0.05))
    assert {plan.shadow for plan in plans} == {"decide", None}


@pytest.mark.parametrize(
    ("escalate", "steps"),
    [
        ({"to": "long"}, (Escalate(to="long", below=0.6),)),
        ({"to": "long", "below": 0.8}, (Escalate(to="long", below=0.8),)),
        (
            [{"to": "decide", "below": 0.5}, {"to": "long", "below": 0.9}],
            (Escalate(to="decide", below=0.5), Escalate(to="long", below=0.9)),
        ),
        ([], ()),
    ],
)
def test_escalation_is_one_step_or_several(escalate: Any, steps: tuple[Escalate, ...]) -> None:
    """A table is one step, an array of tables several, in their order."""
    found = router({"name": "test", "path": "short", "escalate": escalate})
    assert found.choose(TICKET, "1").escalate == steps


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ({}, "set either `path` or `split`"),
        ({"path": "short", "split": {"short": 1.0}}, "set either `path` or `split`"),
        ({"split": {"short": 0.5}}, "the shares of `split` must add up to 1"),
        ({"split": {"short": 0.6, "long": 0.6}}, "the shares of `split` must add up to 1"),
        ({"path": "shrt"}, "unknown path 'shrt'; there are: short, long, decide"),
        ({"split": {"short": 0.5, "lang": 0.5}}, "unknown path 'lang'"),
        ({"path": "short", "escalate": {"to": "lang"}}, "unknown path 'lang'"),
        ({"path": "short", "fallback": ["long", "lang"]}, "unknown path 'lang'"),
        ({"path": "short", "shadow": {"path": "lang"}}, "unknown path 'lang'"),
        (
            {"path": "short", "escalate": {"to": "short"}},
            "escalation loop: short -> short asks a path twice",
        ),
        (
            {"path": "short", "escalate": [{"to": "long"}, {"to": "decide"}, {"to": "long"}]},
            "escalation loop: short -> long -> decide -> long asks a path twice",
        ),
        (
            {"split": {"short": 1.0}, "escalate": [{"to": "long"}, {"to": "long"}]},
            "escalation loop: long -> long asks a path twice",
        ),
        (
            {"path": "short", "fallback": ["short"]},
            "useless fallback: short -> short asks a path twice",
        ),
        (
            {"path": "short", "fallback": ["long", "long"]},
            "useless fallback: short -> long -> long asks a path twice",
        ),
    ],
)
def test_impossible_plan_is_refused(route: dict[str, Any], message: str) -> None:
    """A plan that cannot work stops the start and says which route and why."""
    with pytest.raises(ConfigError) as refused:
        router({"name": "mine", **route})
    assert refused.value.detail.startswith(f"route 'mine': {message}")


@pytest.mark.parametrize(
    "names", [("same", "same"), ("forced", "other"), ("default", "other")]
)  # fmt: skip
def test_route_needs_a_name_of_its_own(names: tuple[str, str]) -> None:
    """Two plans of one name would share logs and cached answers; built-in names count as taken."""
    german = {"path": "short", "when": {"languages": ["de"]}}
    with pytest.raises(ConfigError, match=f"^route '{names[0]}': the name is taken"):
        router({"name": names[0], **german}, {"name": names[1], **german})


def test_route_for_all_may_be_called_default() -> None:
    """A route that takes every ticket takes the built-in one's place, and may take its name."""
    found = router({"name": "default", "path": "decide"})
    assert found.choose(TICKET, "1") == Plan("default", "decide")


def test_only_routed_paths_can_answer() -> None:
    """Readiness asks the paths that a plan may answer by: no shadow, no path without a route."""
    route = {
        "name": "all",
        "path": "short",
        "escalate": {"to": "mid"},
        "fallback": ["long"],
        "shadow": {"path": "beside"},
    }
    routed = router(route, paths=("short", "mid", "long", "beside", "unrouted"))
    assert routed.answering == {"short", "mid", "long"}
