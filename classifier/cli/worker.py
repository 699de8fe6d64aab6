"""Work on the helpdesks' queues, without a door for tickets.

For `workers = "apart"` under [inbox]: the service only stores deliveries, and any number of these
share the work. Health and metrics are served on the port, tickets and webhooks are not.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from classifier.cli import serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    serve.add_arguments(parser)


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from classifier.app import create_worker

    return serve.listen(options, environ, create_worker)
