"""Writes prometheusrules.yaml out of rules/*.yaml: `python3 k8s/monitoring/wrap_rules.py`.

The rules are kept as plain Prometheus files, so that promtool checks and tests what runs; the operator
wants the same text as custom resources. Standard library only.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE / "prometheusrules.yaml"
HEADER = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: classifier-{name}
  labels:
    app.kubernetes.io/name: classifier
    release: kube-prometheus-stack # what that chart's Prometheus selects by default
spec:
"""


def wrapped() -> str:
    """One PrometheusRule for each file; the file's text, two columns further right."""
    parts = ["# Written by wrap_rules.py out of rules/*.yaml, not by hand.\n"]
    for file in sorted((HERE / "rules").glob("*.yaml")):
        text = textwrap.indent(file.read_text(encoding="utf-8"), "  ")
        parts.append(f"---\n{HEADER.format(name=file.stem)}{text.rstrip()}\n")
    return "".join(parts)


if __name__ == "__main__":
    TARGET.write_text(wrapped(), encoding="utf-8")
