"""What examines a machine and a server's settings: each check, within its time, beside a server."""

import errno
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree

import pytest
import sqlalchemy as sa

from access_toys import papers, protected, token_of
from bundle_toys import reseal
from graftscope.bundle import find_shipped
from graftscope.server import Settings, make_settings
from graftscope.server._state import held_state
from graftscope.server.doctor import CHECKS, Case, Check, Finding, Machine, Space, Status, examine
from postgres_toys import Postgres

SMALL = find_shipped("gan-cifar10")
GIB = 2**30
BAD = (Status.WARNING, Status.PROBLEM)


@dataclass(frozen=True)
class Checked:
    """A server, and what is said of its settings while it runs."""

    settings: Settings

    def say(self, *checks: str) -> list[Finding]:
        return list(examine(Case(self.settings), checks))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checked]:
    """With TLS and a token, over a bundle of its own."""
    folder = tmp_path_factory.mktemp("doctor")
    bundle, state = copytree(SMALL, folder / "bundle"), folder / "state"
    chain, key = papers(folder).of_server()
    state.mkdir(mode=0o700)
    token_of(state, "alice")
    tls = {"tls_cert": chain, "tls_key": key}
    with protected([bundle], state, **tls) as address:
        yield Checked(
            make_settings(
                bundles=(bundle,), state=state, listen=address, auth="token", workers=1, **tls
            )
        )


def test_a_sound_machine_is_found_sound_by_every_check(tmp_path: Path) -> None:
    settings = make_settings(state=tmp_path, listen="127.0.0.1:0", keep_gib=0.01, sandbox=True)
    tmp_path.chmod(0o700)
    roomy = Machine(
        space_at=lambda _: Space(100 * GIB),
        descriptor_limit=lambda: None,
        available_bytes=lambda: 100 * GIB,
    )
    findings = list(examine(Case(settings, machine=roomy)))
    assert [x for x in findings if x.status in BAD] == []
    assert list(dict.fromkeys(x.check for x in findings)) == [x.name for x in CHECKS]
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_runs_is_no_fault(running: Checked) -> None:
    findings = running.say("ports", "state", "store", "storage", "bundles", "tokens")
    assert [x for x in findings if x.status in BAD] == []
    said = f"the server at {running.settings.listen} (graftscope "
    told = [x.found for x in findings if x.check in ("ports", "state")]
    assert [(said in each, each.endswith(", SERVING)")) for each in told] == [(True, True)] * 2


def test_a_port_of_a_server_with_another_state_folder_is_a_fault(
    running: Checked, tmp_path: Path
) -> None:
    for state in (tmp_path / "none", tmp_path / "used"):
        another = running.settings.model_copy(update={"state": state})
        (finding,) = Checked(another).say("ports")
        assert finding.status is Status.PROBLEM
        assert f"in use by another server than this one, whose state folder '{state}'" in (
            finding.found
        )
        assert "(graftscope " in finding.found
        assert finding.advice == "stop that program, or choose another with --listen HOST:PORT"
        with held_state(tmp_path / "used", f"sqlite:///{tmp_path}/used/jobs.db"):
            pass


def test_a_port_of_a_server_of_a_database_that_several_share(
    running: Checked, tmp_path: Path
) -> None:
    chosen = {"state": tmp_path, "jobs_url": "postgresql+psycopg://u@192.0.2.7/jobs"}
    shared = Checked(running.settings.model_copy(update=chosen))
    (never_used,) = shared.say("ports")
    assert never_used.status is Status.PROBLEM
    (tmp_path / "lock").touch()
    (finding,) = shared.say("ports")
    assert finding.status is Status.OK
    assert finding.found.endswith(", SERVING), if that is one of this database")


def test_files_that_changed_under_a_server_are_told(running: Checked) -> None:
    (bundle,) = running.settings.bundles
    with (bundle / "weights.bin").open("ab") as weights:
        weights.write(bytes(4))
    reseal(bundle)
    changed, whole = running.say("bundles")
    assert (changed.status, whole.status) == (Status.WARNING, Status.OK)
    assert changed.found.startswith("'gan-cifar10' was changed: its digest is ")
    assert changed.advice == "restart the server to serve the new files"


def test_a_server_that_asks_for_certificates_is_known_by_its_own(tmp_path: Path) -> None:
    made = papers(tmp_path)
    chain, key = made.of_server()
    tls = {"tls_cert": chain, "tls_key": key, "tls_client_ca": made.ca}
    state = tmp_path / "state"
    with protected([SMALL], state, auth="certificate", **tls) as address:
        settings = make_settings(listen=address, state=state, **tls)
        (finding,) = examine(Case(settings), ["ports"])
        assert finding.status is Status.OK
        assert "what shows this certificate" in finding.found
        chain, key = made.issue("another", "localhost")
        another = settings.model_copy(update={"tls_cert": chain, "tls_key": key})
        assert Checked(another).say("ports")[0].status is Status.PROBLEM


def test_postgresql_tells_its_version_and_how_far_it_is(postgres: Postgres, tmp_path: Path) -> None:
    settings = make_settings(state=tmp_path, jobs_url=postgres.new_database())
    (finding,) = examine(Case(settings), ["store"])
    assert finding.status is Status.OK
    assert finding.found.startswith("postgresql ")
    assert finding.found.endswith(" ms")


def test_postgresql_that_takes_no_writes_or_has_another_time(
    postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.new_database()
    settings = make_settings(state=tmp_path, jobs_url=url)
    late = Machine(now_s=lambda: time.time() - 300)
    (finding,) = examine(Case(settings, machine=late), ["store"])
    assert finding.status is Status.WARNING
    assert finding.found.startswith("the clock here is 300 s behind the clock of the database")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        name = connection.execute(sa.text("SELECT current_database()")).scalar_one()
        connection.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    engine.dispose()
    (finding,) = examine(Case(settings), ["store"])
    assert (finding.status, finding.advice) == (Status.PROBLEM, "let jobs_url name the primary")


def test_a_check_that_hangs_is_left_behind_after_its_time_and_others_go_on() -> None:
    ended = threading.Event()

    def hangs(case: Case) -> Iterator[Finding]:
        yield Finding(Status.OK, "begun")
        ended.wait()

    def well(case: Case) -> Iterator[Finding]:
        yield Finding(Status.OK, "well")

    begun: list[str] = []
    checks = (
        Check("hangs", "a host that is gone", lambda: hangs, limit_s=0.05),
        Check("well", "nothing", lambda: well),
        Check("last", "nothing", lambda: well, alone=True),
    )
    findings = list(examine(Case(), begun=begun.append, checks=checks))
    ended.set()
    assert [(x.check, x.status, x.found) for x in findings] == [
        ("hangs", "ok", "begun"),
        ("hangs", "problem", "no answer within 0.05 s"),
        ("well", "ok", "well"),
        ("last", "ok", "well"),
    ]
    assert findings[1].advice == "find out what it waits for: a host that is gone"
    assert begun == ["hangs", "well", "last"]


def test_what_a_check_did_not_foresee_is_its_finding() -> None:
    def fails(case: Case) -> Iterable[Finding]:
        raise KeyError("what")

    (finding,) = examine(Case(), checks=(Check("fails", "nothing", lambda: fails),))
    assert (finding.status, finding.found) == (Status.PROBLEM, "KeyError 'what'")


def test_what_this_user_may_not_use_is_named() -> None:
    def forbidden(case: Case) -> Iterable[Finding]:
        raise PermissionError(errno.EACCES, "Permission denied", "/srv/bundles")

    (finding,) = examine(Case(), checks=(Check("forbidden", "nothing", lambda: forbidden),))
    assert (finding.status, finding.found[-14:]) == (Status.PROBLEM, "'/srv/bundles'")
    assert finding.advice.startswith("run doctor as the server's user")


def test_a_check_whose_library_is_not_installed_is_left_out() -> None:
    def load() -> Callable[[Case], Iterable[Finding]]:
        raise ModuleNotFoundError("No module named 'obstore'", name="obstore")

    (finding,) = examine(Case(), checks=(Check("missing", "nothing", load),))
    assert finding.status is Status.SKIPPED
    assert finding.found == "it needs obstore, which is not installed"
    assert finding.advice == "pip install 'graftscope[server]'"
