"""Tokens: what is kept of them, who makes and revokes them, and how soon a server knows."""

import json
import logging
import os
import re
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from access_toys import bearer, protected, token_of, tokens_of
from graftscope.client import Client, GraftscopeError, InfluenceTask
from graftscope.client.cli import run
from graftscope.server import make_settings
from graftscope.server.access import KnownTokens, Role, TokenStore
from graftscope.server.errors import Conflict, InvalidInput, NotFound, StoreUnavailable
from server_toys import TIMEOUT_S, refusal_of

REVOKED_WITHIN_S = 10.0
"""Known tokens are looked up again after a second; a loaded machine may take longer."""
LIST_MODELS = "/graftscope.v1.ModelService/ListModels"


def test_a_token_is_kept_as_its_hash_alone(tmp_path: Path) -> None:
    text = token_of(tmp_path, "alice")
    assert re.fullmatch(r"gs_[A-Za-z0-9_-]{43}", text)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"alice" in kept
    assert text.encode() not in kept
    assert text.removeprefix("gs_").encode() not in kept
    assert text not in repr(tokens_in(tmp_path))


def tokens_in(state: Path) -> list[Any]:
    with tokens_of(state) as store:
        return list(store.all())


def test_names_are_of_one_active_token_at_a_time(tmp_path: Path) -> None:
    with tokens_of(tmp_path) as store:
        store.create("alice", Role.ANALYST)
        with pytest.raises(Conflict, match="token revoke alice"):
            store.create("alice", Role.READER)
        store.revoke("alice")
        with pytest.raises(NotFound, match=r"no active token named 'alice'; there is none at all"):
            store.revoke("alice")
        store.create("alice", Role.READER, lasts_s=1e-9)
        store.create("alice", Role.ADMIN)
        assert [x.state(time.time()) for x in store.all()] == ["active", "expired", "revoked"]


@pytest.mark.parametrize("role", ["'emperor'", "x'ff00'"])
def test_a_row_that_cannot_be_read_lets_nobody_in_and_keeps_nobody_out(
    role: str, tmp_path: Path
) -> None:
    with tokens_of(tmp_path) as store:
        store.create("alice", Role.ANALYST)
        store.create("bob", Role.ADMIN)
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as database, database:
        database.execute(f"update tokens set role = {role} where name = 'bob'")
    assert [token.name for token in tokens_in(tmp_path)] == ["alice"]


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 101, "é", "a\n"])
def test_a_name_that_is_not_allowed_is_refused(name: str, tmp_path: Path) -> None:
    with tokens_of(tmp_path) as store, pytest.raises(InvalidInput, match="is not allowed"):
        store.create(name, Role.READER)


def test_a_running_server_knows_new_tokens_at_once_and_revoked_ones_within_a_second(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        address = stack.enter_context(protected([toy_vae_bundle], tmp_path))
        channel = stack.enter_context(grpc.insecure_channel(address))
        call = cast(Any, channel).unary_unary(LIST_MODELS)
        first = token_of(tmp_path, "first")
        call(b"", metadata=bearer(first), timeout=TIMEOUT_S)
        second = token_of(tmp_path, "second")
        call(b"", metadata=bearer(second), timeout=TIMEOUT_S)
        with tokens_of(tmp_path) as store:
            store.revoke("first")
        revoked_s = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            until_refused(lambda: call(b"", metadata=bearer(first), timeout=TIMEOUT_S))
        assert time.monotonic() - revoked_s < REVOKED_WITHIN_S
        assert refusal_of(caught.value).reason == "REVOKED_TOKEN"
        call(b"", metadata=bearer(second), timeout=TIMEOUT_S)


def until_refused(call: Callable[[], object]) -> None:
    """Calls again and again."""
    started_s = time.monotonic()
    while time.monotonic() - started_s < TIMEOUT_S:
        call()


class Broken:
    """A table that cannot be read any more."""

    def __init__(self, store: TokenStore) -> None:
        self._store, self.broken, self.reads = store, False, 0

    def all(self) -> list[Any]:
        self.reads += 1
        if self.broken:
            raise OSError("locked")
        return list(self._store.all())


async def test_a_table_that_cannot_be_read_is_stood_in_for(tmp_path: Path) -> None:
    with closing(TokenStore(f"sqlite:///{tmp_path / 'jobs.db'}")) as store:
        text, token = store.create("alice", Role.READER)
        table = Broken(store)
        known = KnownTokens(cast(TokenStore, table))
        assert await known.find(text) == token
        table.broken = True
        assert await known.find("gs_unknown") is None
        assert table.reads == 2
        assert await known.find(text) == token
        never = KnownTokens(cast(TokenStore, table))
        with pytest.raises(StoreUnavailable, match="tokens cannot be checked"):
            await never.find(text)


def test_the_verbs_make_list_and_revoke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").mkdir()
    where = ["--state", str(tmp_path / "state")]
    made = ["token", "create", "--name", "alice", "--role", "analyst", "--expires", "30d"]
    assert run([*made, *where]) == 0
    said = capsys.readouterr()
    text = said.out.strip()
    assert re.fullmatch(r"gs_[A-Za-z0-9_-]{43}", text)
    assert text not in said.err
    assert re.search(r"token of 'alice' with role analyst, good until .* \S+, in state", said.err)
    assert f"in state folder '{tmp_path / 'state'}'" in said.err
    assert run(["token", "list", *where]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"alice +analyst +active", listed)
    assert text not in listed
    file = tmp_path / "bob.token"
    assert (
        run(["token", "create", "--name", "bob", "--role", "admin", "--out", str(file), *where])
        == 0
    )
    assert capsys.readouterr().out == ""
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert run([*made, *where]) == 4
    assert "there is an active token named 'alice'" in capsys.readouterr().err
    assert run(["token", "revoke", "alice", *where]) == 0
    assert run(["token", "list", "--json", *where]) == 0
    documents = json.loads(capsys.readouterr().out.splitlines()[-1])["tokens"]
    assert {x["name"]: x["state"] for x in documents} == {"alice": "revoked", "bob": "active"}
    (alice,) = [x for x in documents if x["name"] == "alice"]
    lasts = datetime.fromisoformat(alice["expires"]) - datetime.fromisoformat(alice["created"])
    assert lasts == timedelta(days=30)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("create --name a --role king", 4, "--role 'king' is unknown; there are: reader"),
        ("create --name a$b --role admin", 4, "--name 'a$b' is not allowed"),
        ("create --name a --role admin --expires 0d", 4, "--expires '0d' is not allowed"),
        ("create --name a --role admin --expires x", 4, "such as 30d"),
        ("revoke a", 3, "there is no active token named 'a'"),
    ],
)
def test_what_the_verbs_refuse(
    arguments: str,
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["token", *arguments.split(), "--state", str(tmp_path)]) == code
    assert message in capsys.readouterr().err


def test_a_state_folder_that_is_not_there_has_no_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = ["create", "--name", "alice", "--role", "reader"]
    for verb in (["list"], ["revoke", "alice"], made):
        assert run(["token", *verb, "--state", str(tmp_path / "nowhere")]) == 3
        assert "nowhere' is not there" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()


def test_the_table_lies_beside_that_of_the_jobs(tmp_path: Path) -> None:
    token_of(tmp_path, "alice")
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as database:
        assert database.execute("SELECT name, role FROM tokens").fetchall() == [
            ("alice", "analyst")
        ]


def test_no_repr_of_settings_holds_a_password() -> None:
    secret = "s3cr3t"
    settings = make_settings(
        jobs_url=f"postgresql+psycopg://graftscope:{secret}@db.example/jobs",
        storage=f"s3://key:{secret}@bucket",
    )
    assert secret not in f"{settings!r} {settings}"


def test_the_log_tells_who_was_refused_and_whose_jobs_ran_and_no_token(
    toy_vae_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="graftscope.server")
    token, bad = token_of(tmp_path, "alice"), "gs_" + "x" * 43
    with protected([toy_vae_bundle], tmp_path, listen=f"unix:{tmp_path / 'socket'}") as address:
        for _ in range(3):
            with Client(address, token=bad) as client, pytest.raises(GraftscopeError):
                client.models()
        with Client(address, token=token) as client:
            job = client.start(InfluenceTask(model="toy-vae", layer="deconv2", pairs=32))
            client.wait(job.name)
            client.share(job.name)
    told = [(x.levelname, x.getMessage()) for x in caplog.records]
    of_job = f"job='{job.name.rpartition('/')[2]}'"
    about = ("owner='alice' analysis='influence' model='", "toy-vae")
    for level, event, *facts in (
        ("INFO", "callers", "tls=False auth='token' tokens=1"),
        ("INFO", "caller refused", "reason='BAD_TOKEN' address='unix"),
        ("INFO", "job created", of_job, *about),
        ("INFO", "job started", of_job, *about),
        ("INFO", "job done", of_job, *about),
        ("INFO", "job shared", of_job, "owner='alice' by='alice'"),
        ("INFO", "call", "AnalysisService/Influence", "principal='alice'", "peer='unix"),
    ):
        begin = f"event='{event}'"
        found = [line for at, line in told if at == level and line.startswith(begin)]
        matching = [line for line in found if all(fact in line for fact in facts)]
        assert matching, (event, found)
        assert event == "call" or len(matching) == 1
    assert not any(secret in line for _, line in told for secret in (token, bad))
