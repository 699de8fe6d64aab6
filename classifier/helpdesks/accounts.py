"""Opens the `[[helpdesks]]` entries: secrets read, everything checked that could only fail later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from classifier.config.helpdesks import Helpdesk as Entry
from classifier.config.helpdesks import Vendor
from classifier.errors import ConfigError
from classifier.helpdesks.api import Api, Login
from classifier.helpdesks.chatwoot import Chatwoot
from classifier.helpdesks.desk import Account, Desk
from classifier.helpdesks.effects import Rules
from classifier.helpdesks.freshdesk import Freshdesk
from classifier.helpdesks.front import Front
from classifier.helpdesks.generic import Generic
from classifier.helpdesks.helpscout import HelpScout
from classifier.helpdesks.hubspot import HubSpot
from classifier.helpdesks.intercom import Intercom
from classifier.helpdesks.jira import Jira
from classifier.helpdesks.logins import no_login
from classifier.helpdesks.zammad import Zammad
from classifier.helpdesks.zendesk import TEST_SECRET, Zendesk
from classifier.settings import read_secret

_TARGETS = ("tag", "field", "priority", "group", "note")
_MIN_SHARED_SECRET = 16  # characters; vendors' own signing secrets are as long as they are


DESKS: dict[Vendor, type[Desk]] = {
    desk.vendor: desk
    for desk in (
        *(Zendesk, Freshdesk, Intercom, HelpScout, Front),
        *(Zammad, Chatwoot, Jira, HubSpot, Generic),
    )
}


def open_helpdesks(entries: tuple[Entry, ...], environ: Mapping[str, str]) -> dict[str, Desk]:
    """One open account per entry, by name. Raises ConfigError with what to set."""
    found: dict[str, Desk] = {}
    for entry in entries:
        if entry.name in found:
            raise ConfigError(f"two [[helpdesks]] are called {entry.name!r}; rename one")
        found[entry.name] = open_helpdesk(entry, environ)
    return found


def open_helpdesk(entry: Entry, environ: Mapping[str, str]) -> Desk:
    desk = DESKS[entry.vendor]
    _check_proof(entry, desk)
    _check_actions(entry, desk)
    secrets = tuple(_secrets(entry, environ))
    _check_secrets(entry, secrets)
    rules = Rules(entry.actions, desk.usual_priorities)
    return desk(Account(entry, secrets, rules, _api(entry, desk, environ)))


def _check_proof(entry: Entry, desk: type[Desk]) -> None:
    if not desk.signs and entry.proof not in ("header", "basic"):
        raise ConfigError(
            f'{_where(entry)}: {entry.vendor} signs nothing; set proof = "header" (a shared secret '
            'in a header of the webhook) or "basic"'
        )


def _check_actions(entry: Entry, desk: type[Desk]) -> None:
    """Raises ConfigError for an action that no documented call of this vendor can do."""
    wanted = {target for target in _TARGETS if getattr(entry.actions, target) is not None}
    if impossible := wanted - desk.targets:
        raise ConfigError(
            f"{_where(entry)}: {entry.vendor} has no call for actions.{min(impossible)}; "
            f"there are: {', '.join(sorted(desk.targets))}"
        )
    if wanted and entry.actions.suggest_with not in ("nothing", *desk.targets):
        raise ConfigError(
            f'{_where(entry)}: {entry.vendor} has no tags; set actions.suggest_with = "note"'
        )
    if wanted and desk.wants_own_user and entry.own_user_id is None:
        raise ConfigError(f"{_where(entry)}: set own_user_id, {entry.vendor} wants it on writes")


def _secrets(entry: Entry, environ: Mapping[str, str]) -> Iterator[bytes]:
    """Every secret of a rotation. Raises ConfigError when there is none."""
    if not entry.secret_env and not entry.secret_file:
        raise ConfigError(
            f"{_where(entry)}: without a secret anybody could send tickets; "
            "set secret_env or secret_file"
        )
    for variable in entry.secret_env:
        value = environ.get(variable, "").strip()
        if not value:
            raise ConfigError(f"{_where(entry)}: set {variable}, its webhook secret")
        yield value.encode()
    for name in entry.secret_file:
        yield read_secret(Path(name), f"{_where(entry)}: secret_file").encode()


def _check_secrets(entry: Entry, secrets: tuple[bytes, ...]) -> None:
    if TEST_SECRET in secrets:
        raise ConfigError(
            f"{_where(entry)}: this is the secret that Zendesk publishes for test sends; "
            "use the signing secret of your webhook"
        )
    shared = entry.proof in ("header", "basic")
    if shared and min(map(len, secrets)) < _MIN_SHARED_SECRET:
        raise ConfigError(
            f"{_where(entry)}: a shared secret needs at least {_MIN_SHARED_SECRET} characters"
        )


def _api(entry: Entry, desk: type[Desk], environ: Mapping[str, str]) -> Api | None:
    """None for an entry that only listens: without a key and without actions."""
    key = _key(entry, environ)
    if key is None and not (desk.keyless and entry.base_url):
        if _acts(entry):
            raise ConfigError(f"{_where(entry)}: actions need a key; set key_env or key_file")
        return None
    base_url = entry.base_url or desk.usual_url
    if base_url is None:
        raise ConfigError(f"{_where(entry)}: set base_url, the address of the vendor's API")
    if desk.wants_account and entry.account_id is None:
        raise ConfigError(f"{_where(entry)}: set account_id, it is part of every API address")
    _check_url(entry, desk, base_url)
    login = _login(entry, desk, key) if key is not None else no_login()
    return Api(base_url, login, desk.rate, entry.call_timeout_s)


def _acts(entry: Entry) -> bool:
    return any(getattr(entry.actions, target) is not None for target in _TARGETS)


def _key(entry: Entry, environ: Mapping[str, str]) -> str | None:
    if entry.key_file is not None:
        key = read_secret(Path(entry.key_file), f"{_where(entry)}: key_file")
    elif entry.key_env is not None:
        key = environ.get(entry.key_env, "").strip()
        if not key:
            raise ConfigError(f"{_where(entry)}: set {entry.key_env}, its API key")
    else:
        return None
    if not key.isascii() or not key.isprintable():
        raise ConfigError(f"{_where(entry)}: its key holds characters that no key has")
    return key


def _login(entry: Entry, desk: type[Desk], key: str) -> Login:
    way: str = entry.login or next(iter(desk.logins))
    if way not in desk.logins:
        ways = " or ".join(desk.logins)
        raise ConfigError(f"{_where(entry)}: {entry.vendor} takes login = {ways}, not {way}")
    if way in desk.named_logins and entry.user is None:
        raise ConfigError(f"{_where(entry)}: login = {way} needs user")
    return desk.logins[way](entry.user or "", key)


def _check_url(entry: Entry, desk: type[Desk], url: str) -> None:
    """A key goes over TLS, except to this machine and to servers of one's own."""
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not parts.hostname or parts.username is not None:
        raise ConfigError(f"{_where(entry)}: base_url names no server, or holds a password")
    if parts.scheme != "https" and not local and not desk.self_hosted:
        raise ConfigError(f"{_where(entry)}: base_url must be https")


def _where(entry: Entry) -> str:
    return f"helpdesk {entry.name!r}"
