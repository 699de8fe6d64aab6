"""Start the simulator.

An OpenAI-compatible server for demos, tests and load tests. It reads tickets with a small text
classifier, counts tokens, draws latencies and injects faults; everything about it says simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8100)


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    return 0
