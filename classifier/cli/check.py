"""Check the configuration without starting anything.

Reads the config, taxonomy, prompts and price table as `serve` would, and says what each path is.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from classifier.cli.options import add_config, settings_from
from classifier.config.load import config_file, load

UNMARKED = "does not mark where a ticket begins and ends: <ticket>$ticket</ticket> would"

if TYPE_CHECKING:
    from rich.table import Table

    from classifier.assembly import Assembly


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from classifier.assembly import Assembly
    from classifier.cli.terminal import terminal
    from classifier.paths.pool import EndpointPool

    settings = settings_from(options, environ)
    file = config_file(settings.config)
    loaded = load(file, environ)
    wanted = [e.api_key_env for e in loaded.config.endpoints.values() if e.api_key_env]
    missing = [name for name in dict.fromkeys(wanted) if not environ.get(name)]
    # What is checked is the file; a key is only needed where the service runs.
    pool = EndpointPool({**environ, **dict.fromkeys(missing, "missing")})
    assembly = Assembly(loaded, pool.open)
    console = terminal()
    console.print(f"{file}: valid, version {assembly.version}")
    for name in missing:
        console.print(f"{name} is not set: `serve` will refuse to start without it")
    console.print(
        f"taxonomy {assembly.taxonomy_version}: {len(assembly.taxonomy.labels)} labels, "
        f"abstain {assembly.taxonomy.abstain!r}; prices as of {assembly.prices.as_of}"
    )
    console.print(_paths(assembly))
    for name, path in assembly.paths.items():
        if path.prompt.forged is None:
            console.print(f"path {name!r}: {path.config.prompt} {UNMARKED}")
    return 0


def _paths(assembly: Assembly) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for heading in ("path", "kind", "endpoint", "model", "prompt tokens", "price"):
        table.add_column(heading, overflow="fold")
    for name, path in assembly.paths.items():
        config = path.config
        tokens = "unknown" if path.static_tokens is None else str(path.static_tokens)
        price = "unknown: add it to [[prices.models]]" if path.rate is None else "known"
        table.add_row(name, config.kind, config.endpoint, config.model, tokens, price)
    return table
