"""Start the simulator.

An OpenAI-compatible server for demos, tests and load tests. It reads tickets with a small text
classifier, counts tokens, draws latencies and injects faults; everything about it says simulated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from classifier import logs
from classifier.cli.listening import bind, url
from classifier.cli.options import add_config, settings_from
from classifier.cli.signals import end_well_on_sigterm
from classifier.config.load import config_file, load

PORT = 8100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=PORT, help=f"port to listen on ({PORT})")
    parser.add_argument(
        "--models",
        metavar="FILE",
        help="how fast and how well models answer; the shipped simulator.toml",
    )
    parser.add_argument(
        "--train", metavar="FILE", action="append", default=[],
        help="NDJSON with labelled tickets for the fine-tuned models (rows whose `split` is train, or "
             "that have none); may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--knowledge", metavar="FILE", action="append", default=[],
        help="NDJSON with labelled phrases that every model knows, fine-tuned or not",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=0, help="same seed, same latencies and faults (0)"
    )
    add_config(parser)


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    # Only the taxonomy is taken from the service's config: the simulator has its own address.
    service = argparse.Namespace(config=options.config)
    settings = settings_from(service, environ)
    file = config_file(settings.config)
    logs.set_up("warning")
    from classifier.simulator import config, rows, server

    listener = bind(options.host, options.port)
    models = config.load(Path(options.models)) if options.models else config.load()
    taxonomy = load(file, environ).config.taxonomy
    training = [row for name in options.train for row in rows.read_rows(Path(name))]
    knowledge = [row for name in options.knowledge for row in rows.read_rows(Path(name))]
    app = server.build(models, taxonomy, training, options.seed, knowledge=knowledge)
    print(f"simulated models on {url(listener)}/v1", file=sys.stderr, flush=True)
    end_well_on_sigterm()
    server.server(app, options.host, options.port).run(sockets=[listener])
    return 0
