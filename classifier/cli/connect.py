"""Connect a helpdesk: what to paste where in the vendor's admin pages.

  connect                  the vendors, and the accounts of the config
  connect VENDOR           the steps, the URL, the headers, the body and the config entry
  connect VENDOR --test    sends a correctly signed sample to the running service

With --test, NAME is an account of the config; the sample names a made-up ticket.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping
from typing import get_args

from classifier.cli.options import add_config, settings_from
from classifier.errors import ConfigError

_WAIT_S = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("vendor", nargs="?", help="a vendor, or the name of a [[helpdesks]] entry")
    parser.add_argument(
        "--service",
        metavar="URL",
        help="where the vendor reaches the service; default: the local one",
    )
    parser.add_argument("--test", action="store_true", help="send a signed sample and follow it")
    add_config(parser)


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from classifier.config.helpdesks import Vendor
    from classifier.config.load import config_file, load

    settings = settings_from(options, environ)
    entries = load(config_file(settings.config), environ).config.helpdesks
    service = (options.service or f"http://{settings.host}:{settings.port}").rstrip("/")
    if options.vendor is None:
        print("vendors:", ", ".join(get_args(Vendor)))
        print("accounts of the config:", ", ".join(entry.name for entry in entries) or "none")
        return 0
    found = [entry for entry in entries if options.vendor in (entry.name, entry.vendor)]
    if options.test:
        if not found:
            raise ConfigError(
                f"the config has no [[helpdesks]] entry {options.vendor!r}; "
                f"`classifier connect {options.vendor}` shows what to add"
            )
        return asyncio.run(_test(found[0].name, service, options, environ))
    vendor = found[0].vendor if found else options.vendor
    if vendor not in get_args(Vendor):
        raise ConfigError(f"there is no vendor {vendor!r}; vendors: {', '.join(get_args(Vendor))}")
    _explain(vendor, f"{service}/webhooks/{found[0].name if found else vendor}")
    return 0


def _explain(vendor: str, url: str) -> None:
    from classifier.helpdesks.setup import setup_of

    setup = setup_of(vendor)  # type: ignore[arg-type]  # checked by the caller
    print(f"{setup.title}\n{'=' * len(setup.title)}\n")
    for number, step in enumerate(setup.steps, start=1):
        print(f"{number}. {step.replace('{url}', url)}")
    print(f"\nURL: {url}")
    for name, value in setup.headers.items():
        print(f"Header: {name}: {value}")
    if setup.body:
        print(f"\nBody:\n{setup.body.strip()}")
    print(f"\nIn the config file:\n{setup.config.strip()}")
    if setup.unsure:
        print("\nNot confirmed by anybody here; check before you rely on it:")
        for fact in setup.unsure:
            print(f"- {fact}")


async def _test(
    name: str, service: str, options: argparse.Namespace, environ: Mapping[str, str]
) -> int:
    """Sends the sample as the vendor would, then asks the service's metrics what became of it."""
    import httpx2

    from classifier.config.load import config_file, load
    from classifier.helpdesks.accounts import open_helpdesks

    settings = settings_from(options, environ)
    config = load(config_file(settings.config), environ).config
    desk = open_helpdesks(config.helpdesks, environ)[name]
    url = f"{service}/webhooks/{name}"
    sample = desk.sample(url, time.time())
    try:
        async with httpx2.AsyncClient(timeout=10) as client:
            before = await _counts(client, service, name)
            answer = await client.post(url, content=sample.body, headers=sample.headers)
            print(
                f"POST {url}: {answer.status_code} in {answer.elapsed.total_seconds() * 1e3:.0f} ms"
            )
            if not answer.is_success:
                print(answer.text[:500])
                return 1
            return await _follow(client, service, name, before)
    except httpx2.HTTPError as error:
        print(f"classifier: {url} cannot be reached ({type(error).__name__})", file=sys.stderr)
        return 1
    finally:
        await desk.aclose()


async def _follow(client: object, service: str, name: str, before: dict[str, float]) -> int:
    """Shows every counter of the account that moves, until its write-back has ended."""
    deadline = time.monotonic() + _WAIT_S
    shown: set[str] = set()
    while time.monotonic() < deadline:
        after = await _counts(client, service, name)
        for sample, value in after.items():
            if value > before.get(sample, 0.0) and sample not in shown:
                shown.add(sample)
                print(f"  {sample}")
        if any("write_backs" in sample for sample in shown):
            return 0
        if any('outcome="duplicate"' in sample for sample in shown):
            print("  this sample was sent before: it is known for as long as `dedupe_s` says")
            return 0
        await asyncio.sleep(0.5)
    print(
        "  nothing was written back within "
        f"{_WAIT_S:.0f} s: see `classifier inbox list` and the log"
    )
    return 0 if shown else 1


async def _counts(client: object, service: str, name: str) -> dict[str, float]:
    page = (await client.get(f"{service}/metrics")).text  # type: ignore[attr-defined]
    wanted = ("classifier_webhook_deliveries_total", "classifier_write_backs_total")
    lines = [line.rsplit(" ", 1) for line in page.splitlines() if line.startswith(wanted)]
    return {sample: float(value) for sample, value in lines if f'account="{name}"' in sample}
