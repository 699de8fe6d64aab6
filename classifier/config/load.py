"""Reads the config file, its includes and its prompt files; nothing is opened but these."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from classifier.config.schema import BaseUrl, Config
from classifier.config.toml import Document, convert
from classifier.errors import ConfigError
from classifier.fingerprints import fingerprint
from classifier.settings import endpoint_url, endpoint_urls, url_variable

SHIPPED = Path(__file__).parent.parent / "shipped"


class Loaded(Struct, frozen=True):
    """One consistent reading: the config, every prompt's text by file name, and the files behind both."""

    config: Config
    prompt_texts: dict[str, str]
    files: tuple[Path, ...]
    version: str


def config_file(name: str) -> Path:
    """The file that was named, or the shipped one."""
    return Path(name) if name else SHIPPED / "classifier.toml"


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Reads a config file whole. Raises ConfigError with file, line and what to do.

    `environ` is asked for CLASSIFIER_ENDPOINT_<NAME>_URL, which overrides a base URL.
    """
    document = _read(path)
    tables = dict(document.tables)
    files = [path]
    for name in _includes(document):
        included = _read(path.parent / name)
        files.append(path.parent / name)
        _merge(document, tables, included)
    config = _with_urls(convert(document, tables, Config), environ)
    prompt_texts = {}
    for name, path_config in config.paths.items():
        prompt_file = path.parent / path_config.prompt
        prompt_texts[path_config.prompt] = _text(prompt_file, f"the prompt of path {name!r}")
        files.append(prompt_file)
    version = fingerprint(config, prompt_texts)
    return Loaded(config, prompt_texts, tuple(dict.fromkeys(files)), version)


def _with_urls(config: Config, environ: Mapping[str, str]) -> Config:
    urls = {name: _url(environ, name) for name in config.endpoints}
    unused = endpoint_urls(environ) - {url_variable(name) for name in config.endpoints}
    if unused:
        raise ConfigError(f"{min(unused)} names no endpoint; there are: {', '.join(urls)}")
    endpoints = {
        name: structs.replace(endpoint, base_url=urls[name] or endpoint.base_url)
        for name, endpoint in config.endpoints.items()
    }
    return structs.replace(config, endpoints=endpoints)


def _url(environ: Mapping[str, str], endpoint: str) -> str | None:
    url = endpoint_url(environ, endpoint)
    try:
        return msgspec.convert(url, BaseUrl) if url else None
    except msgspec.ValidationError as error:
        raise ConfigError(f"{url_variable(endpoint)}: {error}") from None


def _read(path: Path) -> Document:
    return Document(path.name, _text(path, "the config file"))


def _text(path: Path, role: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows editors put a mark in front
    except FileNotFoundError as error:
        raise ConfigError(f"{role} {path} does not exist") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{role} {path} is not UTF-8: byte {error.start}") from error
    except OSError as error:
        raise ConfigError(f"{role} {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{role} {str(path)!r} cannot be read: {error}") from error


def _includes(document: Document) -> list[str]:
    names = document.tables.get("include", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{document.where(('include',))}: include: expected a list of file names")
    return names


def _merge(document: Document, tables: dict[str, Any], included: Document) -> None:
    if "include" in included.tables:
        raise ConfigError(
            f"{included.where(('include',))}: an included file cannot include another"
        )
    for name, table in included.tables.items():
        if name in tables:
            raise ConfigError(
                f"{included.where((name,))}: table {name!r} stands in another file too; keep one"
            )
        tables[name] = table
        document.adopt(included, name)
