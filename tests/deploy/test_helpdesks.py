"""The helpdesk loop in a cluster: workers, their inbox, and the file that one of them keeps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.deploy.manifests import K8S, environment, finishing_s, one, overlay, pod, rendered

OBJECTS = overlay("helpdesks")
WORKER = pod(OBJECTS, "classifier-worker")
CONTAINER = WORKER["containers"][0]
_WORK_S = 15.0  # loop/running.py: how long entries in hand may take to end


def test_the_worker_is_the_service_without_doors() -> None:
    """Same image, config and Secret as the service; the inbox is the one that the service fills."""
    service = pod(OBJECTS, "classifier")
    assert CONTAINER["args"] == ["worker"]
    assert CONTAINER["image"] == service["containers"][0]["image"]
    assert WORKER["volumes"] == service["volumes"]
    ours, theirs = environment(CONTAINER), environment(service["containers"][0])
    assert {**ours, "CLASSIFIER_DRAIN_S": ""} == {**theirs, "CLASSIFIER_DRAIN_S": ""}
    assert "CLASSIFIER_INBOX_REDIS_URL_FILE" in ours


def test_what_a_worker_has_in_hand_is_finished() -> None:
    """The pod is killed only after its entries had their time, and its requests theirs."""
    drain_s = float(environment(CONTAINER)["CLASSIFIER_DRAIN_S"])
    assert (
        WORKER["terminationGracePeriodSeconds"]
        > drain_s + finishing_s(K8S / "base" / "config" / "classifier.toml") + _WORK_S
    )


def test_probes_ask_doors_that_a_worker_has() -> None:
    """Start waits for a model, life for nobody."""
    asked = [CONTAINER[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness")]
    assert asked == ["/readyz", "/healthz"]


def test_workers_are_scraped_as_replicas_of_the_service() -> None:
    """The monitor finds their Service, and the job is called the same: rules count queues once."""
    monitor = one(OBJECTS, "ServiceMonitor", "classifier")["spec"]
    service = one(OBJECTS, "Service", "classifier-worker")
    labels = service["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["jobLabel"]] == "classifier"
    assert service["spec"]["ports"][0]["name"] == monitor["endpoints"][0]["port"]


def test_no_ticket_reaches_a_worker() -> None:
    """The service's own Service selects none of the workers' pods."""
    selector = one(OBJECTS, "Service", "classifier")["spec"]["selector"]
    labels = one(OBJECTS, "Deployment", "classifier-worker")["spec"]["template"]["metadata"]
    assert not selector.items() <= labels["labels"].items()


def test_the_inbox_loses_nothing() -> None:
    """On disk before every answer, and full means no: nothing that waits is pushed out."""
    volumes = pod(OBJECTS, "inbox")["volumes"]
    name = next(each["configMap"]["name"] for each in volumes if each["name"] == "config")
    lines = one(OBJECTS, "ConfigMap", name)["data"]["redis.conf"].splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(lines)
    claims = one(OBJECTS, "StatefulSet", "inbox")["spec"]["volumeClaimTemplates"]
    assert claims[0]["metadata"]["name"] == "data"


@pytest.fixture(scope="module")
def with_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overlay with the ledger on top, as its comment says."""
    folder = tmp_path_factory.mktemp("ledger")
    lines = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization"]
    lines += ["resources:", f"  - {os.path.relpath(K8S / 'overlays/helpdesks', folder)}"]
    lines += ["components:", f"  - {os.path.relpath(K8S / 'components/ledger', folder)}"]
    (folder / "kustomization.yaml").write_text("\n".join(lines))
    return folder


def test_a_ledger_has_one_writer(with_ledger: Path) -> None:
    """One worker, which ends before the next begins; what it writes lies on a volume that stays."""
    objects = rendered(str(with_ledger))
    spec = one(objects, "Deployment", "classifier-worker")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    container = spec["template"]["spec"]["containers"][0]
    folder = environment(container)["CLASSIFIER_DATA_DIR"]
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounts["data"] == folder
    claim = next(each for each in spec["template"]["spec"]["volumes"] if each["name"] == "data")
    assert one(objects, "PersistentVolumeClaim", claim["persistentVolumeClaim"]["claimName"])
