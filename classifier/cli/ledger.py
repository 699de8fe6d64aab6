"""Read the ledger of classifications and corrections.

  ledger export [FILE…]   every line as NDJSON on standard output, the oldest first

Without FILE the ledger of CLASSIFIER_DATA_DIR. Several files, one of each replica, are written one
after another; a correction then also finds its prediction in another replica's file.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.cli.options import add_config, settings_from
from classifier.errors import ConfigError

if TYPE_CHECKING:
    from classifier.ledger import Classified


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    export = actions.add_parser("export", help="every line as NDJSON on standard output")
    add_config(export)
    export.add_argument("files", nargs="*", metavar="FILE", help="ledgers of several replicas")


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    settings = settings_from(options, environ)
    files = [Path(name) for name in options.files]
    if not files:
        if not settings.data_dir:
            raise ConfigError("there is no ledger: set CLASSIFIER_DATA_DIR, or name its file")
        files = [Path(settings.data_dir) / "ledger.sqlite"]
    for file in files:
        if not file.is_file():
            raise ConfigError(f"there is no ledger at {file}")
    try:
        return asyncio.run(_export(files))
    except BrokenPipeError:
        sys.stderr.close()  # `| head` has seen enough
        return 0


async def _export(files: list[Path]) -> int:
    from classifier.config.ledger import Ledger as LedgerConfig
    from classifier.ledger import Classified, Ledger, LedgerAway, decode, encode, with_prediction

    known: dict[tuple[str, str], Classified] = {}
    for file in files:
        ledger = Ledger(file, LedgerConfig(), _Silent())
        try:
            await ledger.open_to_read()
            async for raw in ledger.export():
                line = decode(raw)
                if isinstance(line, Classified):
                    known[line.account, line.id] = line
                else:
                    line = with_prediction(line, known.get((line.account, line.id)))
                sys.stdout.buffer.write(encode(line) + b"\n")
        except LedgerAway as error:
            print(f"classifier: {file} cannot be read ({error})", file=sys.stderr)
            return 1
        finally:
            await ledger.aclose()
    sys.stdout.buffer.flush()
    return 0


class _Silent:
    def ledger_lines(self, kind: str, outcome: str, count: int) -> None: ...
