"""Writes the Grafana dashboards: `.venv/bin/python -m k8s.monitoring.generate`.

The JSON under dashboards/ is committed, because Grafana reads it; a test compares it with this code.
"""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from k8s.monitoring.boards import claims, helpdesks, money, quality, service
from k8s.monitoring.boards.board import Board

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> dict[str, str]:
    """File name -> JSON, of every dashboard."""
    boards = {
        "service": service,
        "claims": claims,
        "money": money,
        "quality": quality,
        "helpdesks": helpdesks,
    }
    return {f"{name}.json": _json(module.board()) for name, module in boards.items()}


def _json(board: Board) -> str:
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main() -> None:
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
