"""Start the service.

What differs by deployment comes from CLASSIFIER_* variables, everything else from the config file;
the options here override the variables.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from classifier import logs
from classifier.cli.listening import bind, url
from classifier.cli.options import add_config, settings_from
from classifier.cli.signals import end_well_on_sigterm

if TYPE_CHECKING:
    from classifier.settings import Settings

    Create = Callable[[Settings, Mapping[str, str]], Any]  # an ASGI application of ours


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--host", help="address to listen on (CLASSIFIER_HOST)")
    parser.add_argument("--port", help="port to listen on (CLASSIFIER_PORT)")


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from classifier.app import create_app

    return listen(options, environ, create_app)


def listen(options: argparse.Namespace, environ: Mapping[str, str], create: Create) -> int:
    """Serves what `create` builds until a signal ends it."""
    from classifier.edge.server import Server, config_for

    settings = settings_from(options, environ)
    logs.set_up(settings.log_level)
    app = create(settings, environ)
    census = app.state.census
    listeners = [bind(settings.host, settings.port)]
    urls, ops = {"url": url(listeners[0])}, None
    if settings.ops_port is not None:
        listeners.append(bind(settings.host, settings.ops_port))
        urls["ops_url"] = url(listeners[1])
        ops = (listeners[1].getsockname()[1], app.state.get("ops", app))
    logs.event(logging.INFO, "service.starting", **urls)
    end_well_on_sigterm()
    server = Server(config_for(app, census, ops), census, settings.drain_s, app.state.end)
    server.run(sockets=listeners)
    return 0
