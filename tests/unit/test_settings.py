"""What differs by deployment comes from the environment, and secrets stay secret."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from rich.pretty import pretty_repr

from classifier.errors import ConfigError
from classifier.settings import Settings, api_keys, endpoint_url, read_settings, url_variable

KEY = "sixteen-chars-ok"
SECRET = "0123456789abcdef0123456789abcdef"


def test_empty_environment_gives_defaults() -> None:
    """The service starts with nothing set, on a loopback address."""
    settings = read_settings({})
    assert (settings.host, settings.port, settings.auth) == ("127.0.0.1", 8000, None)
    assert (settings.config, settings.redis_url, settings.api_keys) == ("", "", "")
    assert (settings.log_level, settings.log_tickets) == ("info", True)


def test_every_variable_is_read() -> None:
    """Each field has its variable, converted to the field's type."""
    settings = read_settings(
        {
            "CLASSIFIER_CONFIG": "/etc/classifier.toml",
            "CLASSIFIER_HOST": "0.0.0.0",  # noqa: S104 -- only read, never bound
            "CLASSIFIER_PORT": "9000",
            "CLASSIFIER_AUTH": "bearer",
            "CLASSIFIER_API_KEYS": KEY,
            "CLASSIFIER_REDIS_URL": "redis://cache:6379/0",
            "CLASSIFIER_CACHE_SECRET": SECRET,
            "CLASSIFIER_LOG_LEVEL": "warning",
            "CLASSIFIER_LOG_TICKETS": "false",
        }
    )
    assert (settings.config, settings.host) == ("/etc/classifier.toml", "0.0.0.0")  # noqa: S104
    assert (settings.port, settings.auth, settings.api_keys) == (9000, "bearer", KEY)
    assert (settings.redis_url, settings.cache_secret) == ("redis://cache:6379/0", SECRET)
    assert (settings.log_level, settings.log_tickets) == ("warning", False)


def test_other_programs_variables_are_left_alone() -> None:
    """Only CLASSIFIER_* is ours; an endpoint's URL belongs to the config file."""
    environ = {
        "PATH": "/bin",
        "OPENAI_API_KEY": "x",
        "MY_CLASSIFIER_PORT": "x",
        "CLASSIFIER_ENDPOINT_OPENAI_URL": "http://localhost/v1",
    }
    assert read_settings(environ) == read_settings({})


def test_file_variant_reads_a_mounted_secret(tmp_path: Path) -> None:
    """A secret's line break at the end of its file is not part of it."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "port").write_text("9000\n")
    settings = read_settings(
        {
            "CLASSIFIER_CACHE_SECRET_FILE": str(tmp_path / "secret"),
            "CLASSIFIER_PORT_FILE": str(tmp_path / "port"),
        }
    )
    assert (settings.cache_secret, settings.port) == (SECRET, 9000)


def test_variable_and_file_give_the_same_secret(tmp_path: Path) -> None:
    """Replicas agree on cache keys whether a secret came with a line break, from a file or not."""
    (tmp_path / "secret").write_text(f"{SECRET}\r\n")
    from_file = read_settings({"CLASSIFIER_CACHE_SECRET_FILE": str(tmp_path / "secret")})
    assert read_settings({"CLASSIFIER_CACHE_SECRET": f"{SECRET}\n"}) == from_file


def test_variable_and_file_together_are_refused(tmp_path: Path) -> None:
    """Nobody has to guess which of two secrets counts, in either order."""
    (tmp_path / "secret").write_text(SECRET)
    both = {
        "CLASSIFIER_CACHE_SECRET": SECRET,
        "CLASSIFIER_CACHE_SECRET_FILE": str(tmp_path / "secret"),
    }
    for environ in (both, dict(reversed(both.items()))):
        with pytest.raises(ConfigError, match=r"either CLASSIFIER_CACHE_SECRET or its _FILE"):
            read_settings(environ)


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_unusable_secret_file_names_its_variable(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, empty or no text is a config error, not an empty secret."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^CLASSIFIER_API_KEYS_FILE: .*secret"):
        read_settings({"CLASSIFIER_API_KEYS_FILE": str(file)})


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("CLASSIFIER_REDIS_URI", "CLASSIFIER_REDIS_URL"),
        ("CLASSIFIER_API_KEY", "CLASSIFIER_API_KEYS"),
        ("CLASSIFIER_LOGLEVEL", "CLASSIFIER_LOG_LEVEL"),
        ("CLASSIFIER_CACHE_SECRETS_FILE", "CLASSIFIER_CACHE_SECRET"),
    ],
)
def test_unknown_variable_is_refused_with_the_nearest(variable: str, nearest: str) -> None:
    """A misspelt variable stops the start and names what was meant."""
    with pytest.raises(ConfigError) as refused:
        read_settings({variable: "x"})
    assert refused.value.detail == f"unknown variable {variable}; did you mean {nearest}?"


def test_unknown_variable_without_a_neighbour_lists_all() -> None:
    """When nothing is near, the message says what there is."""
    with pytest.raises(ConfigError, match=r"there are: CLASSIFIER_API_KEYS, CLASSIFIER_AUTH"):
        read_settings({"CLASSIFIER_ZZZZZZZZZZZZZZ": "x"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CLASSIFIER_PORT", "http"),
        ("CLASSIFIER_PORT", "65536"),
        ("CLASSIFIER_PORT", "-1"),
        ("CLASSIFIER_AUTH", "basic"),
        ("CLASSIFIER_LOG_LEVEL", "loud"),
        ("CLASSIFIER_LOG_TICKETS", "maybe"),
    ],
)
def test_wrong_value_names_its_variable(variable: str, value: str) -> None:
    """The message begins with the variable that has to be changed."""
    with pytest.raises(ConfigError, match=f"^{variable}: "):
        read_settings({variable: value})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CLASSIFIER_API_KEYS", "fifteen-chars.."),
        ("CLASSIFIER_API_KEYS", f"{KEY},short"),
        ("CLASSIFIER_CACHE_SECRET", "fifteen-chars.."),
    ],
)
def test_short_secret_is_refused(variable: str, value: str) -> None:
    """A secret that can be guessed is none, and the refusal does not repeat it."""
    with pytest.raises(ConfigError, match=f"^{variable}.* 16 characters$") as refused:
        read_settings({variable: value})
    assert value not in refused.value.detail


@pytest.mark.parametrize("secret", ["", " " * 32])
def test_redis_without_a_secret_is_refused(secret: str) -> None:
    """Shared keys need a shared secret; blanks are none."""
    environ = {"CLASSIFIER_REDIS_URL": "redis://cache/0", "CLASSIFIER_CACHE_SECRET": secret}
    with pytest.raises(ConfigError, match="CLASSIFIER_CACHE_SECRET"):
        read_settings(environ)


def test_keys_are_split_at_commas_and_lines() -> None:
    """Keys can be listed in a variable or one a line in a file; leftover separators are no keys."""
    listed = f"{KEY}-1,{KEY}-2\n{KEY}-3, \n,"
    assert api_keys(read_settings({"CLASSIFIER_API_KEYS": listed})) == (
        f"{KEY}-1",
        f"{KEY}-2",
        f"{KEY}-3",
    )
    assert api_keys(read_settings({})) == ()


def test_settings_never_show_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Neither repr, str, format, a log record nor rich shows what must stay secret."""
    settings = Settings(
        api_keys=KEY, redis_url=f"redis://:{SECRET}@cache/0", cache_secret="c" + SECRET
    )
    logging.getLogger("test").error("%s %r", settings, settings)
    shown = [repr(settings), str(settings), f"{settings}", pretty_repr(settings), caplog.text]
    assert [text for text in shown if KEY in text or SECRET in text] == []


def test_endpoint_variable_is_made_of_its_name() -> None:
    """Capitals and underscores, as a shell needs them."""
    assert url_variable("eu-west") == "CLASSIFIER_ENDPOINT_EU_WEST_URL"
    environ = {"CLASSIFIER_ENDPOINT_EU_WEST_URL": "http://localhost/v1"}
    assert endpoint_url(environ, "eu-west") == "http://localhost/v1"
    assert endpoint_url(environ, "eu") is None
