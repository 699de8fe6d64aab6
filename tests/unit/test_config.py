"""A config file is read whole and exactly, or refused with file, line, key and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

from classifier.config.load import SHIPPED, Loaded, load
from classifier.config.schema import Config, Escalate
from classifier.config.toml import Document, convert
from classifier.errors import ConfigError
from classifier.settings import Settings
from classifier.simulator.config import SimulatorConfig

BASE = """\
[taxonomy]
name = "test"
labels = [{ name = "billing" }, { name = "other" }]

[endpoints.openai]
base_url = "https://api.openai.com/v1"

[paths.short]
kind = "chat"
endpoint = "openai"
model = "gpt-6-luna"
prompt = "short.txt"

[prices]
as_of = "2026-11-22"
"""
BASE_LINES = 15


def write(folder: Path, files: dict[str, str]) -> Path:
    """Writes files, and the one prompt that BASE needs; the config is `c.toml`."""
    for name, text in {"short.txt": "Sort.\n=== ticket ===\n$ticket", **files}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "c.toml"


def loaded(folder: Path, text: str, environ: dict[str, str] | None = None, **files: str) -> Loaded:
    """Reads a config whose text is given, beside further files `NAME.toml`."""
    others = {f"{name}.toml": content for name, content in files.items()}
    return load(write(folder, {"c.toml": text, **others}), environ or {})


def refusal(folder: Path, text: str, environ: dict[str, str] | None = None, **files: str) -> str:
    """What the person who wrote the config is told."""
    with pytest.raises(ConfigError) as refused:
        loaded(folder, text, environ, **files)
    return refused.value.detail


def test_smallest_config_has_all_defaults(tmp_path: Path) -> None:
    """What is not said is sensible: bearer keys, a day of cache, no route but the default."""
    found = loaded(tmp_path, BASE)
    assert found.config.server.auth == "bearer"
    assert (found.config.cache.ttl_s, found.config.routes) == (86_400.0, ())
    assert found.config.paths["short"].timeout_s == 4.0
    assert found.prompt_texts == {"short.txt": "Sort.\n=== ticket ===\n$ticket"}
    assert found.files == (tmp_path / "c.toml", tmp_path / "short.txt")


@pytest.mark.parametrize("name", ["classifier.toml", "demo.toml"])
def test_shipped_config_loads(name: str) -> None:
    """What is shipped works as it is, its included files and prompts too."""
    found = load(SHIPPED / name, {})
    assert {"short", "long"} <= set(found.config.paths)
    assert {file.name for file in found.files} >= {
        name,
        "taxonomy.toml",
        "prices.toml",
        "short.txt",
    }


def test_shipped_simulator_file_converts() -> None:
    """The simulator's own file is held to the same rules."""
    text = (SHIPPED / "simulator.toml").read_text(encoding="utf-8")
    document = Document("simulator.toml", text)
    assert convert(document, document.tables, SimulatorConfig).models


# --------------------------------------------------------------------------------- unknown keys


@pytest.mark.parametrize(
    ("addition", "line", "key", "nearest"),
    [
        ("[servers]\n", 1, "servers", "server"),
        ("[server]\ntimeout = 1.0\n", 2, "server.timeout", "timeout_s"),
        ("[endpoints.b]\nurl = 'x'\nbase_ulr = 'http://x'\n", 2, "endpoints.b.url", "base_url"),
        ("[endpoints.b]\nbase_ulr = 'http://x'\n", 2, "endpoints.b.base_ulr", "base_url"),
        ("[paths.b]\n\n# \nmodell = 'x'\n", 4, "paths.b.modell", "model"),
        ("[paths.b.options]\ntemprature = 0\n", 2, "paths.b.options.temprature", "temperature"),
        ("[paths.b]\noptions = { tempo = 0 }\n", 2, "paths.b.options.tempo", "temperature"),
        ("[paths.b]\noptions.sede = 1\n", 2, "paths.b.options.sede", "seed"),
        ("[[routes]]\n[[routes]]\nnam = 'x'\n", 3, "routes[1].nam", "name"),
        ("[[routes]]\n[routes.when]\ntag = 'x'\n", 3, "routes[0].when.tag", "tags"),
        ("[[routes]]\nescalate = { too = 'b' }\n", 2, "routes[0].escalate.too", "to"),
        ("[[routes]]\nescalate = [{ to = 'b' }, { belw = 1 }]\n", 2, "routes[0].escalate[1].belw", "below"),
        (
            "[[routes]]\n[[routes.escalate]]\nto = 'b'\n[[routes.escalate]]\nbelo = 1\n",
            5, "routes[0].escalate[1].belo", "below",
        ),
        ("[[routes]]\n[routes.shadow]\npaths = 'b'\n", 3, "routes[0].shadow.paths", "path"),
        ("[cache]\nttl = 1\n", 2, "cache.ttl", "ttl_s"),
        ("[[prices.models]]\n[[prices.models]]\noutputs = 1\n", 3, "prices.models[1].outputs", "output"),
        ("[claims]\nsaving_ratio = 1\n", 2, "claims.saving_ratio", "savings_ratio"),
        ('[claims]\n"latency s" = {}\n', 2, "claims.latency s", "latency_s"),
    ],
)  # fmt: skip
def test_unknown_key_names_line_and_nearest(
    tmp_path: Path, addition: str, line: int, key: str, nearest: str
) -> None:
    """A misspelt key is refused at every depth, with where it stands and what was meant."""
    assert refusal(tmp_path, BASE + addition) == (
        f"c.toml:{BASE_LINES + line}: unknown key {key!r}; did you mean {nearest!r}?"
    )


def test_unknown_key_in_an_inline_label(tmp_path: Path) -> None:
    """Inside a list on one line the place is that line."""
    text = BASE.replace('{ name = "other" }', '{ name = "other", descripton = "x" }')
    assert refusal(tmp_path, text) == (
        "c.toml:3: unknown key 'taxonomy.labels[1].descripton'; did you mean 'description'?"
    )


def test_unknown_key_without_a_neighbour_lists_all(tmp_path: Path) -> None:
    """When nothing is near, the message says what there is."""
    assert refusal(tmp_path, BASE + "[[routes]]\nshadow = { zzz = 1 }") == (
        "c.toml:17: unknown key 'routes[0].shadow.zzz'; valid keys: path, share"
    )


# ------------------------------------------------------------------------- wrong types and limits


PATH_B = "[paths.b]\nkind = 'chat'\nendpoint = 'a'\nmodel = 'm'\nprompt = 'p'\n"
ROUTE_A = "[[routes]]\nname = 'a'\n"
PRICE_A = "[[prices.models]]\nmodel = 'a'\n"
NO_NAME = "Expected `str` matching regex '^[a-z][a-z0-9_-]{0,31}$'"
NO_URL = r"Expected `str` matching regex '^https?://[^\\s]+$'"
NO_DATE = r"Expected `str` matching regex '^\\d{4}-\\d{2}-\\d{2}$'"


@pytest.mark.parametrize(
    ("addition", "line", "message"),
    [
        ("[server]\ntimeout_s = '8'", 2, "server.timeout_s: Expected `float`, got `str`"),
        ("[server]\ntimeout_s = 601", 2, "server.timeout_s: Expected `float` <= 600.0"),
        ("[server]\ntimeout_s = nan", 2, "server.timeout_s: Expected `float` > 0.0"),
        ("[server]\nauth = 'basic'", 2, "server.auth: Invalid enum value 'basic'"),
        ("[server]\nmax_body_bytes = 2048.5", 2, "server.max_body_bytes: Expected `int`, got `float`"),
        ("[cache]\nttl_s = inf", 2, "cache.ttl_s: Expected `float` <= 31536000.0"),
        ("[cache]\nttl_s = 2026-11-22", 2, "cache.ttl_s: Expected `float`, got `date`"),
        ("[endpoints.b]", 1, "endpoints.b: Object missing required field `base_url`"),
        ("[endpoints.b]\nbase_url = 'ftp://x'", 2, f"endpoints.b.base_url: {NO_URL}"),
        (
            "[endpoints.b]\nbase_url = 'http://x'\nheaders = { a = 'b', c = 1 }",
            3, "endpoints.b.headers.c: Expected `str`, got `int`",
        ),
        ("[paths.b.options]\nseed = 1", 1, "paths.b: Object missing required field `kind`"),
        (f"{PATH_B}retries = 4", 6, "paths.b.retries: Expected `int` <= 3"),
        (f"{PATH_B}options.seed = 'x'", 6, "paths.b.options.seed: Expected `int | null`, got `str`"),
        (PATH_B.replace("paths.b", "paths.B"), 1, f"paths.B: {NO_NAME}"),
        ("[[routes]]\npath = 'a'", 1, "routes[0]: Object missing required field `name`"),
        (f"{ROUTE_A}[[routes]]\nname = 1", 4, "routes[1].name: Expected `str`, got `int`"),
        (f"{ROUTE_A}fallback = ['a', 2]", 3, "routes[0].fallback[1]: Expected `str`, got `int`"),
        (f"{ROUTE_A}split = {{ ok = 1, Long = 0.5 }}", 3, f"routes[0].split.Long: {NO_NAME}"),
        (
            f"{ROUTE_A}[routes.split]\nshort = 0.5\nlong = 1.5",
            5, "routes[0].split.long: Expected `float` <= 1.0",
        ),
        (
            f"{ROUTE_A}escalate = 'long'",
            3, "routes[0].escalate: Expected `object | array`, got `str`",
        ),
        (
            f"{ROUTE_A}[[routes.escalate]]\nto = 'b'\nbelow = 2.0",
            5, "routes[0].escalate[0].below: Expected `float` <= 1.0",
        ),
        (f"{PRICE_A}input = 'free'\noutput = 1", 3, "prices.models[0].input: Invalid decimal string"),
        (f"{PRICE_A}input = 1", 1, "prices.models[0]: Object missing required field `output`"),
        (
            "[claims.latency_s]\nshort = 0.1\nlong = -0.4",
            3, "claims.latency_s.long: Expected `float` > 0.0",
        ),
    ],
)  # fmt: skip
def test_wrong_value_names_line_and_key(
    tmp_path: Path, addition: str, line: int, message: str
) -> None:
    """Types and limits are held at every depth; the message names the one key to change."""
    assert refusal(tmp_path, BASE + addition) == f"c.toml:{BASE_LINES + line}: {message}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("as_of", "# as_of", "c.toml:14: prices: Object missing required field `as_of`"),
        (
            '[prices]\nas_of = "2026-11-22"',
            "", "c.toml: the file: Object missing required field `prices`",
        ),
        ("2026-11-22", "today", f"c.toml:15: prices.as_of: {NO_DATE}"),
        (
            '"other" }',
            '"Billing" }', "c.toml:1: taxonomy: labels 'billing' and 'Billing' cannot be told apart",
        ),
        ("[{ name", "[1, { name", "c.toml:3: taxonomy.labels[0]: Expected `object`, got `int`"),
        (
            '[endpoints.openai]\nbase_url = "https://api.openai.com/v1"',
            "[endpoints]", "c.toml:5: endpoints: Expected `object` of length >= 1",
        ),
    ],
)  # fmt: skip
def test_what_must_be_there_is_missed(tmp_path: Path, old: str, new: str, message: str) -> None:
    """What is missing, or is there twice, is named with its table."""
    assert refusal(tmp_path, BASE.replace(old, new, 1)) == message


def test_first_of_two_faults_is_named(tmp_path: Path) -> None:
    """A second fault elsewhere does not lead away from the first."""
    without_prices = BASE[: BASE.index("[prices]")]
    assert refusal(tmp_path, f"{without_prices}{PATH_B}retries = 4") == (
        "c.toml:19: paths.b.retries: Expected `int` <= 3"
    )


def test_escalation_may_be_a_table_or_several(tmp_path: Path) -> None:
    """Both ways to write one step mean the same step."""
    one = '[[routes]]\nname = "a"\npath = "short"\nescalate = { to = "long", below = 0.7 }\n'
    several = (
        '[[routes]]\nname = "a"\npath = "short"\n[[routes.escalate]]\nto = "long"\nbelow = 0.7\n'
    )
    step = Escalate(to="long", below=0.7)
    assert loaded(tmp_path, BASE + one).config.routes[0].escalate == step
    assert loaded(tmp_path, BASE + several).config.routes[0].escalate == (step,)


# --------------------------------------------------------------------------------- files and texts


@pytest.mark.parametrize(
    "text", ["[server", "a = ", "a = 1\na = 2", "x", "a = 1\0", "é = 1", f"a = {'9' * 5_000}"]
)
def test_invalid_toml_names_the_file(tmp_path: Path, text: str) -> None:
    """A syntax error says where it is, in the words of the parser."""
    assert refusal(tmp_path, text).startswith("c.toml: not valid TOML: ")


def test_endless_nesting_is_invalid(tmp_path: Path) -> None:
    """A file that is nothing but brackets is refused as any other."""
    text = "a = " + "[" * 5_000 + "]" * 5_000
    assert refusal(tmp_path, text) == "c.toml: not valid TOML: nested too deeply"


def test_config_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """TOML is UTF-8; the message names the byte that is not."""
    (tmp_path / "c.toml").write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"c\.toml is not UTF-8: byte 5$"):
        load(tmp_path / "c.toml", {})


def test_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    """An editor's mark at the front of a file changes neither config nor prompt."""
    plain = loaded(tmp_path, BASE)
    mark = "\N{ZERO WIDTH NO-BREAK SPACE}"
    write(tmp_path, {"c.toml": mark + BASE, "short.txt": mark + plain.prompt_texts["short.txt"]})
    assert load(tmp_path / "c.toml", {}) == plain


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_ends_do_not_move_the_lines(tmp_path: Path, newline: str) -> None:
    """A file from Windows has the same lines."""
    config = write(tmp_path, {})
    config.write_bytes((BASE + "[server]\ntimeot_s = 1").replace("\n", newline).encode())
    with pytest.raises(ConfigError, match=r"^c\.toml:17: unknown key"):
        load(config, {})


def test_text_in_a_value_does_not_move_the_lines(tmp_path: Path) -> None:
    """Lines of a long text are no keys and no tables, and a rare line separator is no line."""
    rules = "rules = ['''\n[server]\ntimeout_s = 1\n''', \"a\N{LINE SEPARATOR}b\"]\nabstain = 1"
    text = BASE.replace('name = "test"', rules, 1)
    assert refusal(tmp_path, text) == "c.toml:6: taxonomy.abstain: Expected `str`, got `int`"


def test_missing_config_is_named(tmp_path: Path) -> None:
    """The message names the file that was looked for."""
    with pytest.raises(ConfigError, match=r"the config file .*nowhere\.toml does not exist"):
        load(tmp_path / "nowhere.toml", {})


def test_folder_is_no_config(tmp_path: Path) -> None:
    """What exists and cannot be read is refused with the reason."""
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {})


@pytest.mark.parametrize("name", ["nowhere.txt", "../nowhere.txt"])
def test_missing_prompt_names_its_path(tmp_path: Path, name: str) -> None:
    """A prompt's file is looked for beside the config, and missed by the name of its path."""
    message = refusal(tmp_path, BASE.replace("short.txt", name))
    assert message == f"the prompt of path 'short' {tmp_path / name} does not exist"


def test_file_name_that_no_system_has_is_refused(tmp_path: Path) -> None:
    """A NUL in a name is an error of the config, not a crash."""
    message = refusal(tmp_path, BASE.replace("short.txt", r"a\u0000b"))
    assert message.startswith("the prompt of path 'short' ")
    assert "cannot be read" in message


# ---------------------------------------------------------------------------------------- includes


def test_included_tables_are_merged(tmp_path: Path) -> None:
    """Owners keep their own files; together they are one config."""
    prices = (
        "[[prices.models]]\nmodel = 'a'\ninput = 0.075\noutput = 1\n[prices]\nas_of = '2026-01-01'"
    )
    base = BASE[: BASE.index("[prices]")]
    found = loaded(tmp_path, f'include = ["p.toml", "s.toml"]\n{base}', p=prices, s="[server]\n")
    assert [str(price.input) for price in found.config.prices.models] == ["0.075"]
    assert [file.name for file in found.files] == ["c.toml", "p.toml", "s.toml", "short.txt"]


def test_include_is_as_good_as_one_file(tmp_path: Path) -> None:
    """Where a table stands changes nothing but the name of a file."""
    whole = loaded(tmp_path, f"{BASE}[server]\ntimeout_s = 1")
    parts = loaded(tmp_path, f'include = ["s.toml"]\n{BASE}', s="[server]\ntimeout_s = 1")
    assert parts.config.server == whole.config.server
    assert parts.prompt_texts == whole.prompt_texts


def test_table_in_two_files_is_refused(tmp_path: Path) -> None:
    """Nobody has to guess which one counts; the second place is named."""
    doubled = "\n\n[prices]\nas_of = '2026-01-01'"
    message = "table 'prices' stands in another file too; keep one"
    assert refusal(tmp_path, f'include = ["p.toml"]\n{BASE}', p=doubled) == f"p.toml:3: {message}"
    base = BASE[: BASE.index("[prices]")]
    both = f'include = ["p.toml", "q.toml"]\n{base}'
    assert refusal(tmp_path, both, p=doubled, q=doubled) == f"q.toml:3: {message}"


def test_nested_include_is_refused(tmp_path: Path) -> None:
    """One level of files is enough to find a table; a file that includes itself is refused too."""
    message = "an included file cannot include another"
    nested = "\ninclude = ['r.toml']\n"
    assert refusal(tmp_path, f'include = ["q.toml"]\n{BASE}', q=nested) == f"q.toml:2: {message}"
    assert refusal(tmp_path, f'include = ["c.toml"]\n{BASE}') == f"c.toml:1: {message}"


def test_missing_include_is_refused(tmp_path: Path) -> None:
    """An include is looked for beside the config."""
    message = refusal(tmp_path, f'include = ["q.toml"]\n{BASE}')
    assert message == f"the config file {tmp_path / 'q.toml'} does not exist"


@pytest.mark.parametrize("value", ['"q.toml"', "[1]", "{ a = 1 }", "true"])
def test_include_is_a_list_of_names(tmp_path: Path, value: str) -> None:
    """Anything else under `include` is refused with its line."""
    assert refusal(tmp_path, f"\ninclude = {value}\n{BASE}") == (
        "c.toml:2: include: expected a list of file names"
    )


def test_fault_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    """File and line are those of the text that has to be changed, for keys and for values."""
    base = f'include = ["s.toml"]\n{BASE}'
    assert refusal(tmp_path, base, s="\n[server]\n\ntimeoutt_s = 1") == (
        "s.toml:4: unknown key 'server.timeoutt_s'; did you mean 'timeout_s'?"
    )
    assert refusal(tmp_path, base, s="[[routes]]\nname = 'a'\n[[routes]]\nname = 1") == (
        "s.toml:4: routes[1].name: Expected `str`, got `int`"
    )


def test_version_names_all_content(tmp_path: Path) -> None:
    """A change in config, include, prompt or URL is another version; a comment is none."""
    base = f'include = ["s.toml"]\n{BASE}'
    first = loaded(tmp_path, base, s="[server]\n").version
    assert loaded(tmp_path, f"# why\n{base}", s="[server] # same").version == first
    url = {"CLASSIFIER_ENDPOINT_OPENAI_URL": "http://proxy/v1"}
    others = [
        loaded(tmp_path, base.replace("luna", "terra"), s="[server]\n").version,
        loaded(tmp_path, base, s="[server]\ntimeout_s = 1").version,
        loaded(tmp_path, base, url, s="[server]\n").version,
    ]
    write(tmp_path, {"short.txt": "Sort!\n=== ticket ===\n$ticket"})
    others.append(load(tmp_path / "c.toml", {}).version)
    assert len({first, *others}) == 5


# -------------------------------------------------------------------------- URLs from the environment


def test_endpoint_url_comes_from_the_environment(tmp_path: Path) -> None:
    """One config for all deployments; where a model is differs."""
    text = BASE + "[endpoints.eu-west]\nbase_url = 'http://a/v1'\nmax_connections = 7\n"
    environ = {"CLASSIFIER_ENDPOINT_EU_WEST_URL": "http://b/v1", "CLASSIFIER_PORT": "1"}
    endpoints = loaded(tmp_path, text, environ).config.endpoints
    assert endpoints["eu-west"].base_url == "http://b/v1"
    assert endpoints["eu-west"].max_connections == 7
    assert endpoints["openai"].base_url == "https://api.openai.com/v1"


def test_empty_variable_keeps_the_configs_url(tmp_path: Path) -> None:
    """A variable that a deployment left blank is not set."""
    environ = {"CLASSIFIER_ENDPOINT_OPENAI_URL": ""}
    config = loaded(tmp_path, BASE, environ).config
    assert config.endpoints["openai"].base_url == "https://api.openai.com/v1"


def test_url_of_an_unknown_endpoint_is_refused(tmp_path: Path) -> None:
    """A misspelt variable would leave tickets going where nobody expects."""
    environ = {"CLASSIFIER_ENDPOINT_OPENIA_URL": "http://proxy/v1"}
    assert refusal(tmp_path, BASE, environ) == (
        "CLASSIFIER_ENDPOINT_OPENIA_URL names no endpoint; there are: openai"
    )


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x/v1", "http://", "http://a b/v1"])
def test_url_from_the_environment_is_checked(tmp_path: Path, url: str) -> None:
    """What the file may not say, the environment may not say either."""
    message = refusal(tmp_path, BASE, {"CLASSIFIER_ENDPOINT_OPENAI_URL": url})
    assert message.startswith("CLASSIFIER_ENDPOINT_OPENAI_URL: Expected `str` matching regex")


# ---------------------------------------------------------------------------------------- the schema


def undescribed(kind: inspect.Type, key: str) -> Iterator[str]:
    """Keys that neither have a description nor lead to records with a docstring."""
    described = False
    kinds = [kind]
    while kinds:
        match kinds.pop():
            case inspect.Metadata(type=inner, extra_json_schema=extra):
                described = described or bool((extra or {}).get("description"))
                kinds.append(inner)
            case inspect.UnionType(types=inners):
                kinds.extend(inners)
            case inspect.VarTupleType(item_type=inner) | inspect.DictType(value_type=inner):
                kinds.append(inner)
            case inspect.StructType(cls=record, fields=fields):
                described = described or bool(record.__doc__)
                for field in fields:
                    yield from undescribed(field.type, f"{key}.{field.encode_name}")
    if not described:
        yield key


@pytest.mark.parametrize("root", [Config, Settings])
def test_every_setting_is_described(root: type) -> None:
    """What a person may set says what it means, so that reference and schema can be generated."""
    assert list(undescribed(inspect.type_info(root), root.__name__)) == []


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.just(datetime(2026, 11, 22, tzinfo=UTC))
    | st.just(date(2026, 11, 22)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(["name", "to", "path"]), inner)
    ),
    max_leaves=4,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a config, from the top to the leaves."""
    pairs = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    found = [(value, key) for key, _ in pairs]
    for _, inner in pairs:
        if isinstance(inner, dict | list):
            found += places(inner)
    return found


WHOLE = (
    BASE
    + """
[paths.short.options]
extra_body = { a = 1 }
[[routes]]
name = "a"
split = { short = 1.0 }
when = { tags = ["vip"] }
shadow = { path = "short" }
[[routes.escalate]]
to = "long"
[[prices.models]]
model = "a"
input = 0.1
output = 1
[claims]
latency_s = { short = 0.1 }
"""
)


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.text(max_size=5) | st.sampled_from(Config.__struct_fields__), VALUES, max_size=4
    )
)
def test_any_tables_are_a_config_or_a_config_error(tables: dict[str, Any]) -> None:
    """Whatever TOML can say, reading it never fails in another way."""
    try:
        convert(Document("c.toml", ""), tables, Config)
    except ConfigError as error:
        assert error.detail.startswith("c.toml: ")  # noqa: PT017 -- a config that is valid is fine, too


@given(st.data(), VALUES, st.text(max_size=5))
def test_any_wrong_place_is_named(data: st.DataObject, value: Any, key: str) -> None:
    """One thing replaced or added anywhere in a config is accepted, or refused with a place."""
    document = Document("c.toml", WHOLE)
    container, place = data.draw(st.sampled_from(places(document.tables)))
    if isinstance(container, dict) and data.draw(st.booleans()):
        place = key
    container[place] = value
    try:
        convert(document, document.tables, Config)
    except ConfigError as error:
        assert error.detail.startswith("c.toml")  # noqa: PT017 -- as above
