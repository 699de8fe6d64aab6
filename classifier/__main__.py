"""The key to the house: the only reader of the environment."""

from __future__ import annotations

import argparse
import os
import sys

import classifier
from classifier.cli import COMMANDS
from classifier.errors import ConfigError


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."""
    parser = argparse.ArgumentParser(prog="classifier", description=classifier.__doc__)
    parser.add_argument("--version", action="version", version=classifier.__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        summary = (command.__doc__ or "").strip().splitlines()[0]
        sub = commands.add_parser(name, help=summary, description=command.__doc__)
        sub.formatter_class = argparse.RawDescriptionHelpFormatter
        command.add_arguments(sub)
    options = parser.parse_args(arguments)
    try:
        code: int = COMMANDS[options.command].run(options, dict(os.environ))
    except ConfigError as error:
        print(f"classifier: {error.detail}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
