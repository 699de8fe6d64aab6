"""Start the service.

What differs by deployment comes from CLASSIFIER_* variables, everything else from the config file;
the options here override the variables.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping

from classifier import logs
from classifier.cli.listening import bind, url
from classifier.cli.options import add_config, settings_from
from classifier.cli.signals import end_well_on_sigterm

KEEP_ALIVE_S = 75  # above the idle time of load balancers and clients, so that they close first
DRAIN_S = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--host", help="address to listen on (CLASSIFIER_HOST)")
    parser.add_argument("--port", help="port to listen on (CLASSIFIER_PORT)")


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    import uvicorn

    from classifier.app import create_app

    settings = settings_from(options, environ)
    logs.set_up(settings.log_level)
    config = uvicorn.Config(
        create_app(settings, environ),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
        h11_max_incomplete_event_size=16_384,
    )
    listener = bind(settings.host, settings.port)
    logs.event(logging.INFO, "service.starting", url=url(listener))
    end_well_on_sigterm()
    uvicorn.Server(config).run(sockets=[listener])
    return 0
