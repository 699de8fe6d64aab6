"""What an administrator has to do on the vendor's side: data beside the vendor file."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

import msgspec
from msgspec import Struct, field

from classifier.config.helpdesks import Vendor


class Setup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The walk-through of one vendor, from VENDOR.toml: printed by commands and in the docs.

    `steps` are sentences in Markdown; `{url}` stands for the webhook's address. `headers` and
    `body` are what to paste where the vendor lets one choose them. `config` is the entry.
    `unsure` are facts that nobody could confirm. `sample` is a delivery as the vendor sends it.
    """

    title: str
    steps: tuple[str, ...]
    config: str
    sample: str
    sample_headers: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    unsure: tuple[str, ...] = ()


def setup_of(vendor: Vendor) -> Setup:
    """Reads the vendor's file."""
    data = resources.files(__package__).joinpath(f"{vendor}.toml").read_bytes()
    return msgspec.toml.decode(data, type=Setup)


def walk_through(setup: Setup, url: str) -> Iterator[str]:
    """The steps as Markdown, for a webhook at this address."""
    for number, step in enumerate(setup.steps, 1):
        yield f"{number}. {' '.join(step.replace('{url}', url).split())}"
    if setup.headers:
        yield "\nHeaders:\n\n```text"
        yield from (f"{name}: {value}" for name, value in setup.headers.items())
        yield "```"
    if setup.body:
        yield f"\nBody:\n\n```json\n{setup.body.strip()}\n```"
    yield f"\nThe entry:\n\n```toml\n{setup.config.strip()}\n```"
    if setup.unsure:
        yield "\nWhat nobody could confirm without an account, or cannot be helped:\n"
        yield from (f"- {fact}" for fact in setup.unsure)
