"""Options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from classifier.settings import PREFIX, Settings, read_settings

_OVERRIDES = ("config", "host", "port")


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="config file (CLASSIFIER_CONFIG); without it the shipped one",
    )


def count(text: str) -> int:
    """The type of an option that takes 1 or more."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def settings_from(options: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    """The environment's settings with the command line's on top."""
    overrides = {
        PREFIX + name.upper(): str(value)
        for name in _OVERRIDES
        if (value := getattr(options, name, None)) is not None
    }
    return read_settings({**environ, **overrides})
