"""Print a path's rendered prompt with its token count.

Says where the count stands relative to the 1,024 tokens below which vendors cache no prompt.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping

from classifier.cli.options import add_config, settings_from
from classifier.config.load import config_file, load
from classifier.errors import ConfigError
from classifier.prompts import DIVIDER, Prompt, render
from classifier.tokens import CACHE_THRESHOLD_TOKENS, count_static, static_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="name of a path, such as short or long")
    add_config(parser)


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    settings = settings_from(options, environ)
    file = config_file(settings.config)
    loaded = load(file, environ)
    path = loaded.config.paths.get(options.path)
    if path is None:
        known = ", ".join(loaded.config.paths)
        raise ConfigError(f"there is no path {options.path!r}; paths: {known}")
    taxonomy = loaded.config.taxonomy
    prompt = render(path.prompt, loaded.prompt_texts[path.prompt], taxonomy)
    print(_with_ticket(static_text(path.kind, prompt, taxonomy), prompt))
    print(
        f"\n{prompt.version}: {_size(count_static(path.kind, prompt, taxonomy))}", file=sys.stderr
    )
    return 0


def _with_ticket(static: str, prompt: Prompt) -> str:
    return f"{static}\n{DIVIDER}\n{prompt.before}(the ticket){prompt.after}"


def _size(tokens: int | None) -> str:
    if tokens is None:
        return "install the `tokens` extra to count tokens: pip install 'ticket-classifier[tokens]'"
    distance = tokens - CACHE_THRESHOLD_TOKENS
    if distance < 0:
        return (
            f"{tokens} tokens without the ticket (o200k, an estimate), {-distance} below the "
            f"{CACHE_THRESHOLD_TOKENS} from which a vendor caches a prompt: every call pays in full"
        )
    return (
        f"{tokens} tokens without the ticket (o200k, an estimate), {distance} above the "
        f"{CACHE_THRESHOLD_TOKENS} from which a vendor caches a prompt: repeated calls pay less"
    )
