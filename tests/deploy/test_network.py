"""Who may talk to whom: everything is denied but what a policy names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.manifests import OVERLAYS, Object, one, overlay

ASKS = {"ticket-classifier/asks": "true"}
METADATA_SERVICE = "169.254.0.0/16"  # of the clouds: hands out the node's credentials


def policies(name: str) -> dict[str, dict[str, Any]]:
    """The policies of an overlay by name."""
    found = [each for each in overlay(name) if each["kind"] == "NetworkPolicy"]
    return {each["metadata"]["name"]: each["spec"] for each in found}


def ports(rule: Object) -> set[tuple[str, int | str]]:
    """What a rule opens."""
    return {(each["protocol"], each["port"]) for each in rule["ports"]}


@pytest.mark.parametrize("name", OVERLAYS)
def test_all_traffic_is_denied_first(name: str) -> None:
    """A pod that no policy names talks to nobody and hears nobody."""
    assert policies(name)["default-deny"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_opening_names_peers_and_ports(name: str) -> None:
    """An empty `from`, `to` or `ports` would mean all of them."""
    for spec in policies(name).values():
        for direction, side in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(direction, []):
                assert rule[side]
                assert rule["ports"]
                assert all(rule[side])


def test_service_reaches_only_its_four() -> None:
    """Model, Redis, helpdesk and names: nothing else leaves a pod of the service."""
    leaving = {name for name, spec in policies("production").items() if spec.get("egress")}
    assert leaving == {
        "egress-dns",
        "classifier-egress-model",
        "classifier-egress-redis",
        "classifier-egress-helpdesk",
    }


@pytest.mark.parametrize("name", ["classifier-egress-model", "classifier-egress-helpdesk"])
def test_public_addresses_only(name: str) -> None:
    """HTTPS to the outside, but neither into the cluster nor to the cloud's metadata service."""
    (rule,) = policies("production")[name]["egress"]
    assert ports(rule) == {("TCP", 443)}
    block = next(each["ipBlock"] for each in rule["to"] if each["ipBlock"]["cidr"] == "0.0.0.0/0")
    assert {METADATA_SERVICE, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} <= set(
        block["except"]
    )


def test_demo_reaches_nothing_outside() -> None:
    """With simulated models nothing leaves the cluster."""
    blocks = [
        peer
        for spec in policies("demo").values()
        for rule in spec.get("egress", [])
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
    assert blocks == []
    (rule,) = policies("demo")["classifier-egress-simulator"]["egress"]
    service = one(overlay("demo"), "Service", "simulator")["spec"]
    assert ports(rule) == {("TCP", service["ports"][0]["port"])}


def test_redis_hears_only_the_service() -> None:
    """Nobody else in the cluster may read or flush the cache, or read the tickets that wait."""
    for name, policy in (("demo", "redis-ingress"), ("helpdesks", "inbox-ingress")):
        (rule,) = policies(name)[policy]["ingress"]
        assert rule["from"] == [{"podSelector": {"matchLabels": ASKS}}]


@pytest.mark.parametrize("name", OVERLAYS)
def test_only_service_and_workers_ask(name: str) -> None:
    """The label that opens models, helpdesks and Redis is on their pods and on no other."""
    asking = {
        each["metadata"]["name"]
        for each in overlay(name)
        if ASKS.items()
        <= each.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {}).items()
    }
    assert asking == {"classifier"} | ({"classifier-worker"} if name == "helpdesks" else set())
    for policy, spec in policies(name).items():
        if policy.startswith("classifier-egress-"):
            assert spec["podSelector"]["matchLabels"] == ASKS


def test_the_world_reaches_webhooks_only() -> None:
    """The public door is one path; tickets, metrics and the console are not behind it."""
    (ingress,) = [each for each in overlay("helpdesks") if each["kind"] == "Ingress"]
    paths = [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
    assert [(each["path"], each["pathType"]) for each in paths] == [("/webhooks/", "Prefix")]
    backend = paths[0]["backend"]["service"]
    service = one(overlay("helpdesks"), "Service", backend["name"])["spec"]
    assert backend["port"]["name"] in {each["name"] for each in service["ports"]}
    assert ingress["spec"]["tls"]


def test_generators_may_call_the_service() -> None:
    """Locust's pods carry the label that the service's door asks for."""
    for name in ("locust-master", "locust-worker"):
        template = one(overlay("loadtest"), "Job", name)["spec"]["template"]
        assert template["metadata"]["labels"]["ticket-classifier/client"] == "true"
