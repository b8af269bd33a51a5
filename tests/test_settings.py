"""Facts about a server's settings: by file, variable and flag, printed, and refused."""

import asyncio
import json
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graftscope.bundle import shipped
from graftscope.client import Client
from graftscope.client.cli import run
from graftscope.server._protection import make_token
from graftscope.server._server import running_server
from graftscope.server.errors import InvalidInput
from graftscope.server.settings import Setting, Settings, configure, declared, printed
from tools.settings import main, problems

Write = Callable[[str], Path]
ALL = declared()


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("GRAFTSCOPE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "server.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def three(setting: Setting) -> list[Any]:
    """Three values that a setting may have, neighbours of which differ."""
    if setting.name == "executor":
        return ["ray", "local", "ray://head:6379"]
    if not setting.metavar:
        return [True, False, True]
    if setting.words:
        return [setting.words[0], setting.words[-1], setting.words[0]]
    if "number" in setting.allowed:
        (low, *_) = (float(x) for x in re.findall(r"[\d.]+", setting.allowed))
        kind, step = (int, 1) if "whole" in setting.allowed else (float, 0.25)
        return [kind(low + step * i) for i in (1, 2, 3)]
    texts = ["/a", "/b", "/c"]
    return [[text, "/x"] for text in texts] if setting.several else texts


def as_text(value: Any) -> str:
    if isinstance(value, list):
        return os.pathsep.join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_options(setting: Setting, value: Any) -> list[str]:
    (flag, *_) = setting.flags
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag.removeprefix('--')}"]
    return [word for each in (value if setting.several else [value]) for word in (flag, str(each))]


def test_every_setting_has_a_key_a_variable_and_a_flag_of_which_the_later_wins(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*options: str) -> Any:
        assert run(["serve", "--print-config", "--json", *options]) == 0
        return json.loads(capsys.readouterr().out)

    def wanted(number: int, place: Callable[[int, Setting], dict[str, str]]) -> Any:
        return {
            each.name: {
                "value": "***" if each.secret else three(each)[number],
                **place(line, each),
            }
            for line, each in enumerate(ALL, 1)
        }

    assert {(each["from"], each["place"]) for each in said().values()} == {("default", None)}
    file = write("".join(f"{each.name} = {json.dumps(three(each)[0])}\n" for each in ALL))
    options = ["--config", str(file)]
    in_file = wanted(0, lambda line, _: {"from": "file", "place": f"{file}:{line}"})
    assert said(*options) == in_file
    monkeypatch.setenv("GRAFTSCOPE_CONFIG", str(file))
    assert said() == in_file
    for each in ALL:
        monkeypatch.setenv(each.variable, as_text(three(each)[1]))
    assert said() == wanted(1, lambda _, each: {"from": "variable", "place": each.variable})
    flags = [word for each in ALL for word in as_options(each, three(each)[2])]
    assert said(*flags) == wanted(2, lambda _, each: {"from": "flag", "place": each.flags[0]})


def test_every_setting_of_the_class_is_shown() -> None:
    assert {each.name for each in ALL} == set(Settings.model_fields)


def test_what_is_written_from_the_declarations_is_up_to_date() -> None:
    assert main(["check"]) == 0, "run 'make settings' and commit what it writes"


def test_a_setting_that_does_not_say_what_it_means_is_not_written() -> None:
    (first, *_) = ALL
    changed = Setting(**{**vars(first), "meaning": "", "default": ""})
    found = list(problems([changed, first]))
    assert [line.split(":")[0] for line in found if "declared" not in line] == ["bundles"] * 2
    assert sum("--bundles is declared twice" in line for line in found) == 1


def test_what_is_printed_is_a_file_that_gives_the_same_settings(
    write: Write, tmp_path: Path
) -> None:
    environ = {
        "GRAFTSCOPE_WORKERS": "3",
        "GRAFTSCOPE_BUNDLES": '/a "b":/\\ü',
        "GRAFTSCOPE_TLS_CERT": str(tmp_path / "a # b.pem"),
        "GRAFTSCOPE_STORAGE": "file:///results",
        "GRAFTSCOPE_KEEP_DAYS": "1e-5",
        "GRAFTSCOPE_DEVICE": "",
    }
    first = configure({"resume": False, "state": "/s"}, None, environ)
    text = printed(first)
    again = configure({}, write(text), {})
    assert again.settings.model_dump() == first.settings.model_dump()
    lines = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)
    assert lines["workers"] == "3  # GRAFTSCOPE_WORKERS"
    assert lines["resume"] == "false  # --resume"
    assert lines["device"] == '"cpu"  # default'  # an empty variable sets nothing
    number = text.splitlines().index("workers = 3  # GRAFTSCOPE_WORKERS") + 1
    assert f"workers = 3  # {tmp_path / 'server.toml'}:{number}\n" in printed(again)


def test_what_is_served_by_default_is_not_printed_as_nothing(write: Write) -> None:
    told = "\n# bundles is not set  # default: the bundles that come with the package\n"
    assert told in printed(configure({}, None, {}))
    assert "\nbundles = []  # " in printed(configure({}, write("bundles = []"), {}))


def test_a_port_of_a_file_is_a_number_or_a_text(write: Write) -> None:
    file = write("listen = 50051\nhealth = 50052\nmetrics = 0")
    found = configure({}, file, {})
    assert (found.settings.listen, found.settings.health) == ("50051", "50052")
    assert f'metrics = "0"  # {file}:3\n' in printed(found)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://ann@h/db", "postgresql+psycopg://ann@h/db"),
        ("postgresql+psycopg://ann:se:cr@et@h:1/db", "postgresql+psycopg://ann:***@h:1/db"),
        ("postgresql://ann:se/cr?et@h/db", "postgresql://ann:***@h/db"),
        ("postgresql://ann@server:secret@h/db", "postgresql://ann@server:***@h/db"),
        ("postgresql://ann:se\nsecret@h/db", "postgresql://ann:***@h/db"),
        ("postgresql:///db?user=ann&password=secret", "postgresql:///db?user=***&password=***"),
        ("s3://bucket/path?secret", "s3://bucket/path?***"),
        ("sqlite:////var/jobs.db", "sqlite:////var/jobs.db"),
        ("secret", "***"),
    ],
)
@pytest.mark.parametrize("name", ["jobs_url", "storage"])
def test_passwords_are_hidden_and_the_rest_of_a_url_is_not(
    name: str, url: str, shown: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(f"{name} = {json.dumps(url)}")
    assert run(["serve", "--config", str(file), "--print-config"]) == 0
    text = capsys.readouterr().out
    assert f'{name} = "{shown}"' in text
    # What would not work without the password does not set anything.
    assert tomllib.loads(text).get(name) == (url if url == shown else None)
    assert "secret" not in text
    assert run(["serve", "--config", str(file), "--print-config", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[name]["value"] == shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('\nworkers = "3"', ":2: workers '3' is not allowed: it must be a whole number from 1"),
        (
            "workers = 3.0",
            ":1: workers 3.0 is not allowed: it must be a whole number from 1 to 256",
        ),
        ("workers = true", ":1: workers true is not allowed"),
        (
            "workers = 300",
            ":1: workers 300 is not allowed: it must be a whole number from 1 to 256",
        ),
        ("grace_s = nan", ":1: grace_s nan is not allowed: it must be a number from 0 to 3600"),
        ("resume = 1", ":1: resume 1 is not allowed: it must be true or false"),
        ('device = "gpu"', ":1: device 'gpu' is not allowed: it must be cpu or cuda"),
        ('bundles = "a:b"', ":1: bundles 'a:b' is not allowed: it must be a list of paths"),
        ("bundles = [1]", ":1: bundles [1] is not allowed: it must be a list of paths"),
        ("state = 2030-01-01", ":1: state 2030-01-01 is not allowed: it must be the path of a"),
        ('jobs_url = ["s3cret"]', ":1: jobs_url is not allowed: it must be a URL as SQLAlchemy"),
        ("worker = 3", ":1: there is no setting 'worker'; the nearest is 'workers'"),
        ("Log-Level = 3", ":1: there is no setting 'Log-Level'; the nearest is 'log_level'"),
        ("memory = 3", ":1: there is no setting 'memory'; the nearest is 'memory_gib'"),
        ("listen = true", ":1: listen true is not allowed: it must be HOST:PORT, a port, or unix:"),
        ("health = 65536", ":1: health 65536 is not allowed: it must be HOST:PORT, a port, or"),
        ("metrics = 9464.0", ":1: metrics 9464.0 is not allowed: it must be HOST:PORT, or a port"),
        ("[server]\nworkers = 3", ": there are no tables here, such as [server]: all settings"),
        (f"workers = {'9' * 5000}", " is not TOML: a number in it has too many digits"),
        (f"workers = {'[' * 9000}", " is not allowed: its lists or tables are too deep"),
        (f"device = '{'x' * 9000}'", f":1: device '{'x' * 199} ... is not allowed: it must be"),
        (f"{'x' * 9000} = 1", f":1: there is no setting '{'x' * 199} ...; the nearest is"),
        ("workers", " is not TOML: Expected '=' after a key in a key/value pair (at "),
    ],
)
def test_a_file_that_is_wrong_is_one_line_with_its_place(
    text: str, told: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(text)
    # Also where a flag overrides it.
    assert run(["serve", "--config", str(file), "--print-config", "--workers", "2"]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"graftscope: {file}{told}")


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (
            ["--workers", "300"],
            4,
            "--workers '300' is not allowed: it must be a whole number from 1",
        ),
        (
            ["--grace", "soon"],
            4,
            "--grace 'soon' is not allowed: it must be a number from 0 to 3600",
        ),
        (["--auth", "word"], 4, "--auth 'word' is not allowed: it must be none, token or certifi"),
        (["--config", "no.toml"], 3, "configuration file 'no.toml' is not there"),
        (["--config", "."], 4, "configuration file '.' cannot be read: it is a folder"),
    ],
)
def test_a_flag_that_is_wrong_is_one_line(
    options: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", "--print-config", *options]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"graftscope: {told}")


def test_what_never_ends_or_is_too_large_is_not_read(tmp_path: Path) -> None:
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    large.write_bytes(b"#" * (2**20 + 1))
    for file, why in (
        (pipe, "it is no regular file"),
        (Path("/dev/zero"), "it is no regular file"),
        (large, "it has 1048577 bytes; at most 1048576 are allowed"),
    ):
        with pytest.raises(InvalidInput, match=f"cannot be read: {why}"):
            configure({}, file, {})


def test_a_file_may_begin_with_a_byte_order_mark(write: Write) -> None:
    assert configure({}, write("\ufeffworkers = 3"), {}).settings.workers == 3


def test_a_line_is_named_only_where_it_is_the_only_one_that_may_be_meant(write: Write) -> None:
    file = write('state = """\nworkers = 3\n"""\nworkers = 4\n"queue" = 5\n')
    places = {name: str(each) for name, each in configure({}, file, {}).origins.items()}
    assert places == {"state": f"{file}:1", "workers": str(file), "queue": f"{file}:5"}


def test_paths_of_a_file_are_relative_to_it_and_others_to_where_the_server_starts(
    write: Write, tmp_path: Path
) -> None:
    file = write('bundles = ["a", "/b"]\nstate = "../s"\ntls_cert = "c.pem"')
    flags = {"tls_key": "k.pem"}
    settings = configure(flags, file, {"GRAFTSCOPE_TLS_CLIENT_CA": "ca.pem"}).settings
    assert settings.bundles == (tmp_path / "a", Path("/b"))
    assert settings.state == tmp_path / ".." / "s"
    assert settings.tls_cert == tmp_path / "c.pem"
    assert (settings.tls_key, settings.tls_client_ca) == (Path("k.pem"), Path("ca.pem"))


def test_a_command_about_tokens_names_the_file_or_what_wins_over_it(write: Write) -> None:
    file = write('auth = "token"\njobs_url = "postgresql://ann:secret@h/db"')

    def place(flags: dict[str, object], config: Path | None, **environ: str) -> str:
        made = make_token(configure(flags, config, environ).settings)
        return made.removeprefix("graftscope token create --name NAME --role analyst ")

    assert place({}, file) == place({}, None, GRAFTSCOPE_CONFIG=str(file)) == f"--config {file}"
    assert place({"state": "/a b"}, None) == "--state '/a b'"
    assert place({"jobs_url": "postgresql://h/other"}, file) == "--jobs-url URL"
    assert place({}, file, GRAFTSCOPE_STATE="/s") == "--jobs-url URL"


def test_a_variable_lists_paths_as_path_does_or_as_json() -> None:
    for text in ("a:b", '["a", "b"]'):
        found = configure({}, None, {"GRAFTSCOPE_BUNDLES": text.replace(":", os.pathsep)})
        assert found.settings.bundles == (Path("a"), Path("b"))
    with pytest.raises(ValueError, match=r"GRAFTSCOPE_BUNDLES '\[a' is not allowed: .* a list"):
        configure({}, None, {"GRAFTSCOPE_BUNDLES": "[a"})
    with pytest.raises(InvalidInput, match="it must be a list of paths"):
        configure({}, None, {"GRAFTSCOPE_BUNDLES": "[" * 100_000})


def test_a_server_and_its_tokens_take_the_same_file(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, bundle = next(iter(shipped().items()))
    file = write(
        f'bundles = [{json.dumps(str(bundle))}]\nlisten = "127.0.0.1:0"\n'
        'state = "kept"\nworkers = 1\nsandbox = false\n'
    )

    async def models() -> list[str]:
        async with running_server(configure({}, file, {}).settings) as address:
            return await asyncio.to_thread(asked, address)

    def asked(address: str) -> list[str]:
        with Client(address) as client:
            return [model.name for model in client.models()]

    assert asyncio.run(models()) == [name]
    token = ["token", "create", "--name", "ann", "--role", "reader", "--config", str(file)]
    assert run(token) == 0
    assert f"in state folder '{tmp_path / 'kept'}'" in capsys.readouterr().err
