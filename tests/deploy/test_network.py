"""Who may talk to whom: everything is denied but what a policy names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.manifests import OVERLAYS, Object, one, overlay

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
    """Nobody else in the cluster may read or flush the cache."""
    (rule,) = policies("demo")["redis-ingress"]["ingress"]
    assert rule["from"] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "classifier"}}}
    ]


def test_generators_may_call_the_service() -> None:
    """Locust's pods carry the label that the service's door asks for."""
    for name in ("locust-master", "locust-worker"):
        template = one(overlay("loadtest"), "Job", name)["spec"]["template"]
        assert template["metadata"]["labels"]["ticket-classifier/client"] == "true"
