"""Who may ask for a label: bearer keys, and no door that stands open by mistake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from hashlib import sha256
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from classifier.api.auth import Doorkeeper
from classifier.app import create_app
from classifier.errors import ConfigError
from classifier.keys import KeyRing
from classifier.settings import read_settings
from tests.support.contract import assert_problem
from tests.support.house import Service, service, write_config
from tests.support.logged import logged
from tests.support.raw import exchange, request
from tests.support.upstream import Upstream
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
FIRST, SECOND = "first-key-0123456789", "schlüssel-0123456789"
THIRD = "third-key-0123456789"
KEYS = {"CLASSIFIER_AUTH": "bearer", "CLASSIFIER_API_KEYS": f"{FIRST},\n{SECOND}"}
NOWHERE = "http://127.0.0.1:9/v1"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def locked_house(
    models: tuple[Upstream, Upstream], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """The service with two keys, one of them not ASCII."""
    config = write_config(tmp_path_factory.mktemp("locked"), models[0].url, models[1].url)
    async with service(config, KEYS) as running:
        yield running


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {FIRST}".encode(),
        f"bearer {FIRST}".encode(),
        f"BEARER   {FIRST}".encode(),
        f"Bearer {SECOND}".encode(),
    ],
)
async def test_every_key_opens(locked_house: Service, header: bytes) -> None:
    """Each configured key is let in, however the scheme is written."""
    answer = await exchange(
        locked_house.port,
        request(
            "/classify",
            b'{"body":"x"}',
            b"Content-Type: application/json",
            b"Authorization: " + header,
        ),
    )
    assert answer.status == 200


REFUSED = {
    "no_header": b"",
    "empty": b"Authorization: ",
    "scheme_only": b"Authorization: Bearer",
    "no_scheme": f"Authorization: {FIRST}".encode(),
    "other_scheme": f"Authorization: Basic {FIRST}".encode(),
    "wrong_key": b"Authorization: Bearer another-key-0123456789",
    "beginning_of_a_key": f"Authorization: Bearer {FIRST[:-1]}".encode(),
    "key_and_more": f"Authorization: Bearer {FIRST} x".encode(),
    "both_keys": f"Authorization: Bearer {FIRST},{SECOND}".encode(),
    "other_case": f"Authorization: Bearer {FIRST.upper()}".encode(),
    "other_encoding": f"Authorization: Bearer {SECOND}".encode("latin-1"),
    "no_text": b"Authorization: Bearer \xff\xfe\x80\xa0",
    "no_text_as_scheme": b"Authorization: \xe9\xff",
    "key_in_the_wrong_header": f"X-Api-Key: {FIRST}".encode(),
    "long": b"Authorization: Bearer " + b"k" * 15_000,
}


@pytest.mark.parametrize("header", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("target", ["/classify", "/classify/batch"])
async def test_other_headers_stay_outside(
    locked_house: Service, models: tuple[Upstream, Upstream], target: str, header: bytes
) -> None:
    """Without a valid key: 401, what to send, and no call to a model."""
    asked = len(models[0].calls)
    headers = (b"Content-Type: application/json", *([header] if header else []))
    answer = await exchange(locked_house.port, request(target, b'{"body":"x"}', *headers))
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    locked_house.contract.check("POST", target, 401, answer.body)
    assert len(models[0].calls) == asked


async def test_key_comes_before_everything_else(locked_house: Service) -> None:
    """Who has no key learns nothing about bodies, parameters and paths."""
    for target in ("/classify", "/classify?path=nope", "/classify?foo=1", "/classify/batch"):
        answer = await locked_house.client.post(target, content=b"{")
        assert_problem(answer, 401, "not-authenticated", "Authorization: Bearer")


@pytest.mark.parametrize("target", ["/healthz", "/readyz", "/metrics", "/schema", "/"])
async def test_ops_doors_stay_open(locked_house: Service, target: str) -> None:
    """Probes, scrapes and empty pages need no key."""
    assert (await locked_house.client.get(target)).status_code == 200


async def test_console_shows_its_state_to_key_holders(locked_house: Service) -> None:
    """What the console shows wants the key that tickets want."""
    shut = await locked_house.client.get("/console/state")
    assert_problem(shut, 401, "not-authenticated", "Authorization: Bearer")
    headers = {"Authorization": f"Bearer {FIRST}"}
    opened = await locked_house.client.get("/console/state", headers=headers)
    assert opened.status_code == 200


async def test_keys_are_never_shown(models: tuple[Upstream, Upstream], tmp_path: Path) -> None:
    """No key, right or wrong, in a log line, a problem, a metric or a repr."""
    shown = []
    config = write_config(tmp_path, models[0].url, models[1].url)
    with logged() as log:
        async with service(config, KEYS) as house:
            for key in (FIRST, "wrong-key-0123456789"):
                headers = {"Authorization": f"Bearer {key}"}
                for body in (b'{"body":"x"}', b"{"):
                    answer = await house.client.post("/classify", content=body, headers=headers)
                    shown.append(answer.text)
            shown.append((await house.client.get("/metrics")).text)
            shown.append((await house.client.get("/schema/openapi.json")).text)
    settings = read_settings(KEYS)
    shown += [
        repr(settings),
        str(settings),
        repr(vars(Doorkeeper("bearer", KeyRing((FIRST, SECOND)), "::"))),
    ]
    shown.append(log.getvalue())
    assert "ticket.failed" in log.getvalue()
    for key in (FIRST, SECOND, "wrong-key"):
        assert key not in "".join(shown)


def _app(folder: Path, **environ: str) -> None:
    config = write_config(folder, NOWHERE, NOWHERE)
    variables = {"CLASSIFIER_CONFIG": str(config)} | {
        f"CLASSIFIER_{name.upper()}": value for name, value in environ.items()
    }
    create_app(read_settings(variables), variables)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
async def test_no_auth_is_allowed_on_loopback(tmp_path: Path, host: str) -> None:
    """`auth = "none"` starts where only this machine can knock."""
    _app(tmp_path, auth="none", host=host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "fd00::1", "example.org", ""])  # noqa: S104
async def test_no_auth_is_refused_elsewhere(tmp_path: Path, host: str) -> None:
    """On any other address it does not start, and says what to set."""
    with pytest.raises(ConfigError, match=r"CLASSIFIER_AUTH=bearer and CLASSIFIER_API_KEYS") as no:
        _app(tmp_path, auth="none", host=host)
    assert f"refused on {host}" in str(no.value)


@pytest.mark.parametrize("keys", ["", " , \n"])
async def test_bearer_without_keys_is_refused(tmp_path: Path, keys: str) -> None:
    """A door with a lock and no key does not start, and says what to set."""
    with pytest.raises(
        ConfigError, match=r"set CLASSIFIER_API_KEYS \(or CLASSIFIER_API_KEYS_FILE\)"
    ):
        _app(tmp_path, auth="bearer", api_keys=keys)


async def test_environment_overrides_the_file(tmp_path: Path) -> None:
    """CLASSIFIER_AUTH=bearer locks a config that says `none`."""
    with pytest.raises(ConfigError, match='auth = "bearer" needs keys'):
        _app(tmp_path, auth="bearer", host="127.0.0.1")


async def test_keys_can_be_mounted(models: tuple[Upstream, Upstream], tmp_path: Path) -> None:
    """Keys from a file, one a line, work like those from the variable."""
    (tmp_path / "keys").write_text(f"{FIRST}\n{SECOND}\n")
    config = write_config(tmp_path, models[0].url, models[1].url)
    environ = {"CLASSIFIER_AUTH": "bearer", "CLASSIFIER_API_KEYS_FILE": str(tmp_path / "keys")}
    async with service(config, environ) as house:
        opened = await house.classify("x", {"Authorization": f"Bearer {FIRST}"})
        shut = await house.classify("x", {"Authorization": f"Bearer {FIRST}x"})
    assert (opened.status_code, shut.status_code) == (200, 401)


async def test_hashed_key_opens_for_its_key_only(
    models: tuple[Upstream, Upstream], tmp_path: Path
) -> None:
    """A setting may hold a hash: the key opens, the hash itself does not."""
    hashed = f"sha256:{sha256(FIRST.encode()).hexdigest()}"
    config = write_config(tmp_path, models[0].url, models[1].url)
    keys = {"CLASSIFIER_AUTH": "bearer", "CLASSIFIER_API_KEYS": f"{hashed}, {SECOND}"}
    async with service(config, keys) as house:
        opened = await house.classify("x", {"Authorization": f"Bearer {FIRST}"})
        shut = await house.classify("x", {"Authorization": f"Bearer {hashed}"})
        assert (opened.status_code, shut.status_code) == (200, 401)
        assert await house.metric("classifier_api_keys") == 2
        assert await house.metric("classifier_key_refusals_total", reason="wrong") == 1
        assert (await house.classify("x")).status_code == 401
        assert await house.metric("classifier_key_refusals_total", reason="missing") == 1


@pytest.mark.parametrize(
    "key", ["sha256:", "sha256:abc", "sha256:" + "g" * 64, "sha256:" + "a" * 65]
)
async def test_hash_that_is_none_is_refused(tmp_path: Path, key: str) -> None:
    """A cut hash would be a key that nobody has: it does not start, and does not repeat it."""
    with pytest.raises(ConfigError, match="64 hexadecimal digits") as refused:
        _app(tmp_path, auth="bearer", api_keys=key)
    assert key not in str(refused.value).replace("`sha256:`", "")


async def test_keys_rotate_without_a_restart(
    models: tuple[Upstream, Upstream], tmp_path: Path
) -> None:
    """A changed key file: the new key opens, the old one no more; an unusable file changes nothing."""
    keys = tmp_path / "keys"
    keys.write_text(f"{FIRST}\n")
    config = write_config(tmp_path, models[0].url, models[1].url)
    environ = {"CLASSIFIER_AUTH": "bearer", "CLASSIFIER_API_KEYS_FILE": str(keys)}

    async def opens(key: str) -> bool:
        answer = await house.classify("x", {"Authorization": f"Bearer {key}"})
        return answer.status_code == 200

    async def is_refused() -> bool:
        return await house.metric("classifier_config_valid") == 0

    with logged() as log:
        async with service(config, environ) as house:
            keys.write_text(f"{FIRST}\n{THIRD}\n")
            await eventually(lambda: opens(THIRD))
            assert await opens(FIRST)
            keys.write_text(f"{THIRD}\n")
            await eventually(lambda: _not(opens(FIRST)))
            for unusable in ("short", " \n", "sha256:1"):
                keys.write_text(unusable)
                await eventually(is_refused)
                assert await opens(THIRD)
            assert "CLASSIFIER_API_KEYS_FILE: every key needs" in log.getvalue()
            keys.write_text(FIRST)
            await eventually(lambda: opens(FIRST))
            assert not await opens(THIRD)
    assert "keys.rotated" in log.getvalue()
    assert not [key for key in (FIRST, THIRD) if key in log.getvalue()]


async def test_revoked_key_ends_while_the_config_is_refused(
    models: tuple[Upstream, Upstream], tmp_path: Path
) -> None:
    """A stolen key is taken out at once: a config that somebody broke before does not keep it alive."""
    keys = tmp_path / "keys"
    keys.write_text(f"{FIRST}\n{THIRD}\n")
    config = write_config(tmp_path, models[0].url, models[1].url)
    environ = {"CLASSIFIER_AUTH": "bearer", "CLASSIFIER_API_KEYS_FILE": str(keys)}

    async def opens(key: str) -> bool:
        answer = await house.classify("x", {"Authorization": f"Bearer {key}"})
        return answer.status_code == 200

    async def is_refused() -> bool:
        return await house.metric("classifier_config_valid") == 0

    async with service(config, environ) as house:
        config.write_text("no config [")
        await eventually(is_refused)
        keys.write_text(THIRD)
        await eventually(lambda: _not(opens(FIRST)))
        assert await opens(THIRD)
        assert await house.metric("classifier_api_keys") == 1
        assert await is_refused()


async def test_short_key_names_the_variable_that_holds_it(tmp_path: Path) -> None:
    """Who mounts a file is told about the file's variable, not about one that is not set."""
    (tmp_path / "keys").write_text("short")
    with pytest.raises(ConfigError, match="CLASSIFIER_API_KEYS_FILE: every key"):
        read_settings({"CLASSIFIER_API_KEYS_FILE": str(tmp_path / "keys")})
    with pytest.raises(ConfigError, match="CLASSIFIER_API_KEYS: every key"):
        read_settings({"CLASSIFIER_API_KEYS": "short"})


async def _not(found: Awaitable[bool]) -> bool:
    return not await found


@given(
    st.lists(st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=16), min_size=1)
)
async def test_ring_opens_for_its_keys_only(keys: list[str]) -> None:
    """Whatever the keys are: each of them opens, nothing made of them does, none is held."""
    ring = KeyRing(keys)
    for key in keys:
        assert ring.opens(key.encode())
        assert not ring.opens(key[:-1].encode()) or key[:-1] in keys
        assert key not in repr(vars(ring))
    assert not ring.opens(b"")
    assert repr(ring) == f"KeyRing({len(keys)} keys)"
