"""What Prometheus and Grafana are given, in a cluster and in compose."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml

from tests.deploy.manifests import K8S, ROOT, one, overlay

MONITORING = K8S / "monitoring"
DASHBOARDS = ("service.json", "claims.json", "money.json", "quality.json", "helpdesks.json")


def test_operator_gets_the_rules_as_they_are() -> None:
    """prometheusrules.yaml is written by wrap_rules.py; run it after every change of a rule."""
    script = (
        "import runpy; print(runpy.run_path('k8s/monitoring/wrap_rules.py')['wrapped'](), end='')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (MONITORING / "prometheusrules.yaml").read_text(encoding="utf-8") == done.stdout


def test_every_rule_group_arrives() -> None:
    """Wrapped, the rules mean the same as in the plain files that promtool has tested."""
    for name in ("alerts", "recording"):
        plain = yaml.safe_load((MONITORING / "rules" / f"{name}.yaml").read_text(encoding="utf-8"))
        wrapped = one(overlay("production"), "PrometheusRule", f"classifier-{name}")
        assert wrapped["spec"] == plain


def test_monitor_scrapes_the_service() -> None:
    """Selector, port name and job label of the ServiceMonitor fit the Service."""
    objects = overlay("production")
    monitor = one(objects, "ServiceMonitor", "classifier")["spec"]
    service = one(objects, "Service", "classifier")
    wanted = monitor["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    assert [each["port"] for each in monitor["endpoints"]] == [service["spec"]["ports"][0]["name"]]
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "classifier"


def test_grafana_gets_every_dashboard() -> None:
    """The sidecar's label is there, and each dashboard is whole JSON within a ConfigMap's 1 MiB."""
    found = one(overlay("production"), "ConfigMap", "classifier-dashboards")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert set(found["data"]) == set(DASHBOARDS)
    assert all(json.loads(text)["panels"] for text in found["data"].values())
    assert sum(len(text.encode()) for text in found["data"].values()) < 1_000_000


def test_prometheus_takes_the_compose_config() -> None:
    """promtool reads it, with the rules where compose mounts them; the job is called the same."""
    file = MONITORING / "prometheus.yml"
    subprocess.run(["promtool", "check", "config", str(file)], check=True, capture_output=True)
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert [each["job_name"] for each in config["scrape_configs"]] == ["classifier"]


def test_grafana_reads_where_compose_mounts() -> None:
    """Provider, data source and mounts of compose.yaml agree."""
    grafana = MONITORING / "grafana"
    provider = yaml.safe_load((grafana / "dashboards.yaml").read_text())["providers"][0]
    source = yaml.safe_load((grafana / "datasources.yaml").read_text())["datasources"][0]
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    targets = [Path(volume.split(":")[1]) for volume in services["grafana"]["volumes"][:-1]]
    assert Path(provider["options"]["path"]) in targets
    assert source["url"] == "http://prometheus:9090"
