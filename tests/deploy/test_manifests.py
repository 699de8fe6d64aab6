"""What a cluster accepts, and what a platform team would send back."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from tests.deploy.manifests import K8S, OVERLAYS, environment, finishing_s, one, overlay, pod, pods

OLDEST, USUAL, NEWEST = "1.31", "1.34", "1.37"
CUSTOM = {"ServiceMonitor", "PrometheusRule"}  # the operator's own kinds: test_monitoring.py
SERVICE = pod(overlay("production"), "classifier")
CONTAINER = SERVICE["containers"][0]

each_overlay = pytest.mark.parametrize("name", OVERLAYS)


@pytest.mark.parametrize("version", [OLDEST, USUAL, NEWEST])
@each_overlay
def test_cluster_accepts_every_object(name: str, version: str) -> None:
    """Strict schemas: a misspelt or misplaced field is refused, in three Kubernetes versions."""
    for each in overlay(name):
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, version, strict=True)


def test_schema_refuses_misspelt_field() -> None:
    """The check above sees a field that the cluster would drop without a word."""
    service = {**one(overlay("demo"), "Service", "classifier"), "sepc": {}}
    with pytest.raises(kubernetes_validate.ValidationError, match="sepc"):
        kubernetes_validate.validate(service, USUAL, strict=True)


@each_overlay
def test_every_object_has_the_namespace(name: str) -> None:
    """Nothing lands in `default`; names inside the namespace refer to what is there."""
    objects = overlay(name)
    namespace = next(each for each in objects if each["kind"] == "Namespace")["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    found = {each["metadata"].get("namespace") for each in objects if each["kind"] != "Namespace"}
    assert found == {namespace["name"]}


@each_overlay
def test_pods_meet_the_restricted_standard(name: str) -> None:
    """Pod Security `restricted`, and on top a read-only root file system and a numeric user."""
    for _, spec in pods(overlay(name)):
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert all(set(volume) & _ALLOWED_VOLUMES for volume in spec.get("volumes", []))
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container.get("ports", []))


_ALLOWED_VOLUMES = {"configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim"}


@each_overlay
def test_pods_get_neither_token_nor_foreign_variables(name: str) -> None:
    """No API token; and no CLASSIFIER_PORT=tcp://… from a Service, which the service would refuse."""
    for _, spec in pods(overlay(name)):
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False


@each_overlay
def test_resources_are_bounded(name: str) -> None:
    """Memory has a limit, processor time a request and no limit (throttling would show as latency)."""
    for _, spec in pods(overlay(name)):
        for container in spec["containers"]:
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert set(container["resources"]["limits"]) == {"memory"}


def test_grace_is_longer_than_pause_and_drain() -> None:
    """A pod is killed only after the load balancers heard of it and every request is answered."""
    drain_s = float(environment(CONTAINER)["CLASSIFIER_DRAIN_S"])
    assert drain_s == 10
    assert "lifecycle" not in CONTAINER  # a preStop sleep would delay `Connection: close`
    assert (
        SERVICE["terminationGracePeriodSeconds"]
        >= drain_s + finishing_s(K8S / "base" / "config" / "classifier.toml") + 10
    )


def test_probes_ask_what_they_decide() -> None:
    """Only the start waits for a model; an outage of it neither restarts nor unpublishes pods."""
    asked = {
        name: CONTAINER[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "readiness", "liveness")
    }
    assert asked == {"startup": "/readyz", "readiness": "/healthz", "liveness": "/healthz"}
    startup = CONTAINER["startupProbe"]
    deadline_s = one(overlay("production"), "Deployment", "classifier")["spec"]
    assert deadline_s["progressDeadlineSeconds"] > (
        startup["periodSeconds"] * startup["failureThreshold"]
    )


def test_rollout_never_serves_with_less() -> None:
    """An old pod goes when a new one serves; the autoscaler alone owns the number of pods."""
    spec = one(overlay("production"), "Deployment", "classifier")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert "replicas" not in spec
    scaler = one(overlay("production"), "HorizontalPodAutoscaler", "classifier")["spec"]
    assert scaler["minReplicas"] >= 2
    assert scaler["scaleTargetRef"]["name"] == "classifier"


def test_pods_are_spread() -> None:
    """Losing a zone or a node does not take all pods."""
    keys = [each["topologyKey"] for each in SERVICE["topologySpreadConstraints"]]
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


@each_overlay
def test_selectors_find_their_pods(name: str) -> None:
    """A Service, budget or policy that selects nothing is silent about it; so it is checked here."""
    objects = overlay(name)
    labels = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in objects
        if "template" in each.get("spec", {})
    ]
    for each in objects:
        selector = _selector(each)
        if selector:
            assert any(selector.items() <= found.items() for found in labels), each["metadata"]


def _selector(each: dict[str, Any]) -> dict[str, str]:
    spec = each.get("spec", {})
    if each["kind"] == "Service":
        return dict(spec["selector"])
    key = {"PodDisruptionBudget": "selector", "NetworkPolicy": "podSelector"}.get(each["kind"])
    return dict(spec[key].get("matchLabels", {})) if key else {}


@each_overlay
def test_mounted_names_exist(name: str) -> None:
    """Every ConfigMap and Secret that a pod mounts is made here, but for production's own Secrets."""
    objects = overlay(name)
    made = {(each["kind"], each["metadata"]["name"]) for each in objects}
    made |= _OWN_SECRETS.get(name, set())
    for _, spec in pods(objects):
        for volume in spec.get("volumes", []):
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in made
            if "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in made


_OWN_SECRETS = {
    "production": {("Secret", "classifier")},
    "helpdesks": {("Secret", "classifier"), ("Secret", "inbox")},
}


@each_overlay
def test_live_files_are_mounted_whole(name: str) -> None:
    """A subPath would never see a changed ConfigMap or Secret again."""
    for _, spec in pods(overlay(name)):
        for container in spec["containers"]:
            assert not any("subPath" in each for each in container.get("volumeMounts", []))


def test_secrets_are_readable_files() -> None:
    """The pod's user reads the Secret through its group; nobody else does."""
    volume = next(each for each in SERVICE["volumes"] if each["name"] == "secrets")
    assert volume["secret"]["defaultMode"] == 0o440
    assert SERVICE["securityContext"]["fsGroup"] == SERVICE["securityContext"]["runAsGroup"]


def test_production_holds_no_secret() -> None:
    """What is in the repository is not a secret; production's come from elsewhere."""
    assert not [each for each in overlay("production") if each["kind"] == "Secret"]
    assert all("SECRET" not in name or name.endswith("_FILE") for name in environment(CONTAINER))


def test_redis_keeps_its_answers() -> None:
    """The demo's Redis writes a file, is bounded, and drops old answers before it refuses new ones."""
    volumes = pod(overlay("demo"), "redis")["volumes"]
    name = next(each["configMap"]["name"] for each in volumes if each["name"] == "config")
    config = one(overlay("demo"), "ConfigMap", name)["data"]["redis.conf"]
    for line in ("appendonly yes", "maxmemory 192mb", "maxmemory-policy allkeys-lfu"):
        assert line in config.splitlines()
    claims = one(overlay("demo"), "StatefulSet", "redis")["spec"]["volumeClaimTemplates"]
    assert claims[0]["metadata"]["name"] == "data"


def test_scaling_by_tickets_in_flight_replaces_processor_time() -> None:
    """The alternative is a component; applied, it is the only metric that is scaled on."""
    text = (K8S / "components/hpa-in-flight/hpa.yaml").read_text()
    assert "classifier_tickets_in_flight" in text
    rule = (K8S / "components/hpa-in-flight/adapter-rules.yaml").read_text()
    assert "as: classifier_tickets_in_flight" in rule
