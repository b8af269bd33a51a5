"""Faults that were put in on purpose are named, with what to do about each."""

import json
import os
import shlex
import shutil
import socket
import socketserver
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import trustme

from access_toys import papers, tokens_of
from bundle_toys import reseal
from graftscope.bundle import find_shipped
from graftscope.server import make_settings
from graftscope.server._state import held_state
from graftscope.server.access import Role
from graftscope.server.doctor import Case, Finding, Machine, Space, Status, examine
from graftscope.server.doctor._installing import install
from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import JobStore

SMALL = find_shipped("gan-cifar10")
GIB = 2**30
DAY_S = 86_400.0


def found(check: str, machine: Machine | None = None, **settings: Any) -> list[Finding]:
    """What a check says of these settings."""
    case = Case(make_settings(**settings), machine=machine or Machine())
    return list(examine(case, [check]))


def fault(check: str, machine: Machine | None = None, **settings: Any) -> Finding:
    """The one thing that a check finds wrong."""
    (bad,) = [
        each
        for each in found(check, machine, **settings)
        if each.status in (Status.WARNING, Status.PROBLEM)
    ]
    assert bad.check == check
    assert "\n" not in bad.found + bad.advice
    return bad


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def pair(authority: trustme.CA, folder: Path, name: str = "server", **how: Any) -> dict[str, Any]:
    """A certificate for this machine and its key, in files, as settings name them."""
    made = authority.issue_cert("localhost", "127.0.0.1", **how)
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    key.chmod(0o600)
    return {"tls_cert": chain, "tls_key": key}


# Certificates


def test_a_certificate_that_has_expired(authority: trustme.CA, tmp_path: Path) -> None:
    over = datetime(2020, 2, 1, tzinfo=UTC)
    files = pair(authority, tmp_path, not_before=over - timedelta(days=30), not_after=over)
    bad = fault("certificates", **files)
    assert bad.status is Status.PROBLEM
    assert bad.found == f"certificate {str(files['tls_cert'])!r} expired on 2020-02-01 00:00 UTC"
    assert bad.advice.startswith("renew it")


def test_a_certificate_that_expires_soon(authority: trustme.CA, tmp_path: Path) -> None:
    files = pair(authority, tmp_path, not_after=datetime.now(UTC) + timedelta(days=9, hours=1))
    bad = fault("certificates", **files)
    assert (bad.status, "expires in 9 days" in bad.found) == (Status.WARNING, True)


def test_a_certificate_that_is_not_good_yet(authority: trustme.CA, tmp_path: Path) -> None:
    early = Machine(now_s=lambda: datetime(1999, 1, 1, tzinfo=UTC).timestamp())
    bad = [x for x in found("certificates", early, **pair(authority, tmp_path)) if x.advice]
    assert "it is 1999-01-01 00:00 UTC here" in bad[0].found
    assert "clock" in bad[0].advice


def test_the_key_of_another_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    files, others = (pair(authority, tmp_path, name) for name in ("one", "other"))
    bad = fault("certificates", tls_cert=files["tls_cert"], tls_key=others["tls_key"])
    assert bad.status is Status.PROBLEM
    assert "key values mismatch" in bad.found
    assert f"openssl x509 -noout -pubkey -in {files['tls_cert']}" in bad.advice


def test_a_certificate_that_is_not_there(authority: trustme.CA, tmp_path: Path) -> None:
    files: dict[str, Any] = {name: tmp_path / name for name in ("tls_cert", "tls_key")}
    bad = fault("certificates", **files)
    told = f"--tls-cert '{files['tls_cert']}', --tls-key '{files['tls_key']}'"
    assert bad.found == f"not there: {told}"
    assert bad.advice.startswith("name the right file with --tls-cert and --tls-key, or make them")
    half = {**pair(authority, tmp_path), "tls_key": tmp_path / "other.key"}
    assert fault("certificates", **half).advice == "name the right file with --tls-key"
    if shutil.which("openssl") is None:
        pytest.skip("what is advised needs openssl")
    command = bad.advice.partition("clients call: ")[2].replace("HOST", "localhost")
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    assert found("certificates", **files)[0].status is Status.OK


def test_a_certificate_of_another_host(authority: trustme.CA, tmp_path: Path) -> None:
    bad = fault("certificates", listen="192.0.2.7:443", **pair(authority, tmp_path))
    assert bad.status is Status.WARNING
    assert "is for localhost, 127.0.0.1, and clients that call 192.0.2.7 are refused" in bad.found


def test_a_key_that_everybody_can_read(authority: trustme.CA, tmp_path: Path) -> None:
    files = pair(authority, tmp_path)
    files["tls_key"].chmod(0o644)
    bad = fault("certificates", **files)
    assert (bad.status, bad.advice) == (Status.WARNING, f"chmod 600 {files['tls_key']}")


def test_an_authority_that_is_none(authority: trustme.CA, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    bad = fault("certificates", tls_client_ca=tmp_path / "ca.pem", **pair(authority, tmp_path))
    assert (bad.status, "--tls-client-ca" in bad.found) == (Status.PROBLEM, True)


def test_a_good_certificate_is_told_with_its_names(authority: trustme.CA, tmp_path: Path) -> None:
    ca = papers(tmp_path).ca
    findings = found("certificates", tls_client_ca=ca, **pair(authority, tmp_path))
    assert [x.status for x in findings] == [Status.OK] * 3
    assert findings[1].found == "clients may call localhost, 127.0.0.1"
    assert str(ca) in findings[2].found


# Ports


@contextmanager
def answering(
    handler: type[socketserver.BaseRequestHandler],
    kind: type[socketserver.TCPServer] = socketserver.TCPServer,
) -> Iterator[int]:
    """A port on which another program answers."""
    with kind(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def busy() -> Iterator[int]:
    """A port of another program, which speaks no HTTP/2 to anybody."""

    class Mute(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"what do you want?")

    with answering(Mute) as port:
        yield port


def test_a_port_that_another_program_holds(busy: int) -> None:
    bad = fault("ports", listen=f"127.0.0.1:{busy}")
    assert bad.status is Status.PROBLEM
    assert f"127.0.0.1:{busy} is in use by " in bad.found
    assert bad.advice.endswith("--listen HOST:PORT")


@pytest.mark.parametrize("name", ["health", "metrics"])
def test_a_port_beside_it_that_another_program_holds(busy: int, name: str) -> None:
    given: dict[str, Any] = {"listen": "127.0.0.1:0", name: f"127.0.0.1:{busy}"}
    bad = fault("ports", **given)
    assert bad.status is Status.PROBLEM
    assert bad.advice.endswith(f"--{name} HOST:PORT")


def test_a_host_that_is_not_this_machine() -> None:
    bad = fault("ports", listen="192.0.2.7:50051")
    assert "cannot listen on 192.0.2.7:50051" in bad.found


def test_a_cluster_that_is_not_installed_does_not_answer_or_asks_for_no_token(
    busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = fault("executor", Machine(version_of=lambda _: None), executor="ray")
    assert bad.status is Status.PROBLEM
    assert bad.advice.startswith("--executor local, or pip install 'graftscope[ray]'")
    ray = Machine(version_of=lambda _: "2.53.0")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    bad = fault("executor", ray, executor=f"ray://127.0.0.1:{busy}")
    assert (bad.status, "without Ray's token" in bad.found) == (Status.PROBLEM, True)
    assert "RAY_AUTH_MODE=token" in bad.advice
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    (good,) = found("executor", ray, executor=f"ray://127.0.0.1:{busy}")
    assert good.status is Status.OK
    bad = fault("executor", ray, executor="ray://127.0.0.1:9")
    assert bad.found == "nobody answers at 127.0.0.1:9 (Connection refused)"
    assert found("executor")[0].status is Status.SKIPPED


def test_an_extra_of_a_checkout_is_installed_from_its_folder(tmp_path: Path) -> None:
    noted = json.dumps({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    assert install("ray", noted) == "pip install 'graftscope[ray]'"
    (tmp_path / "constraints.txt").touch()
    assert install("ray", noted).endswith(
        f"; as no index has it: cd {tmp_path} && pip install -c constraints.txt '.[ray]'"
    )


def test_a_collector_of_traces_that_does_not_answer(
    busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    bad = fault("traces")
    assert bad.status is Status.WARNING
    assert bad.found.startswith("nothing takes traces at http://127.0.0.1:9 (Connection refused)")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{busy}")
    assert found("traces")[0].found == f"traces go to http://127.0.0.1:{busy}"
    assert found("traces", traces="off")[0].status is Status.SKIPPED


# What is kept


def test_a_state_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    bad = fault("state", state=tmp_path / "state")
    assert (bad.status, "--state DIR" in bad.advice) == (Status.PROBLEM, True)


def test_a_state_folder_that_others_can_read(state: Path) -> None:
    state.chmod(0o755)
    bad = fault("state", state=state)
    assert (bad.status, bad.advice) == (Status.WARNING, f"chmod 700 {state}")


def test_a_state_folder_that_another_server_holds(state: Path) -> None:
    with held_state(state, f"sqlite:///{state}/jobs.db"):
        bad = fault("state", state=state, listen="127.0.0.1:0")
    assert bad.status is Status.PROBLEM
    assert bad.found == f"state folder {str(state)!r} is held by another server or command"
    assert bad.advice == "stop it, or name another folder for this one"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may use anything")
def test_root_that_examines_for_another_user(state: Path) -> None:
    os.chown(state, 12345, -1)
    bad = fault("state", state=state)
    assert (bad.status, "sudo -u '#12345' graftscope doctor" in bad.advice) == (
        Status.WARNING,
        True,
    )
    # What root makes there would be closed to that user.
    assert list(state.iterdir()) == []


def test_a_database_of_a_newer_version(state: Path) -> None:
    JobStore(f"sqlite:///{state}/jobs.db").close()
    with closing(sqlite3.connect(state / "jobs.db")) as connection, connection:
        connection.execute("UPDATE graftscope SET schema = 99")
    bad = next(x for x in found("store", state=state) if x.advice)
    assert bad.status is Status.PROBLEM
    assert "their schema is 99" in bad.found
    assert bad.advice == "install that version here, or name another database"


def test_a_database_of_an_earlier_version_is_to_be_kept_before_it_is_changed(state: Path) -> None:
    with closing(sqlite3.connect(state / "jobs.db")) as connection, connection:
        connection.execute("CREATE TABLE jobs (id TEXT)")
    bad = fault("store", state=state)
    assert bad.status is Status.WARNING
    assert "its schema is 1; the next start makes it " in bad.found
    assert bad.advice.startswith("make a backup")


def test_a_database_that_is_damaged(state: Path) -> None:
    (state / "jobs.db").write_bytes(b"no database at all" * 100)
    bad = fault("store", state=state)
    assert (bad.status, "is damaged" in bad.found) == (Status.PROBLEM, True)
    assert "put a copy in its place" in bad.advice


def test_a_database_is_looked_at_and_left_as_it_is(state: Path) -> None:
    file = state / "jobs.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE others (name TEXT)")
    assert found("store", state=state)[-1].status is Status.OK
    with closing(sqlite3.connect(file)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert tables.fetchall() == [("others",)]


def test_a_database_server_that_refuses(state: Path) -> None:
    pytest.importorskip("psycopg", reason="needs psycopg (pip install psycopg[binary])")
    with closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        url = f"postgresql+psycopg://u:secret@127.0.0.1:{port}/jobs"
        bad = fault("store", state=state, jobs_url=url)
    assert (bad.status, "refused" in bad.found) == (Status.PROBLEM, True)
    assert "secret" not in bad.found + bad.advice
    assert bad.advice.startswith(
        "start the database, let this machine reach it, or correct jobs_url"
    )


def test_a_storage_that_cannot_be_written_to(state: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bad = fault("storage", state=state, storage=f"file://{tmp_path}/file")
    assert (bad.status, "can be written to" in bad.advice) == (Status.PROBLEM, True)


def test_a_bucket_that_may_not_be_written_to(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore", reason="needs obstore (pip install obstore)")

    class Forbids(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_error(403, "AccessDenied")

        def log_message(self, *_: object) -> None:
            pass

    with answering(Forbids, HTTPServer) as port:
        access = {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "secret", "REGION": "x"}
        access |= {"ENDPOINT": f"http://127.0.0.1:{port}", "ALLOW_HTTP": "true"}
        for name, value in access.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        bad = fault("storage", state=state, storage="s3://bucket/prefix")
    assert bad.status is Status.PROBLEM
    assert "PermissionDeniedError" in bad.found
    assert "secret" not in bad.found
    assert "that the server's key may put" in bad.advice


def test_nothing_stays_behind_of_what_is_written_to_storage(state: Path) -> None:
    (good,) = found("storage", state=state)
    assert (good.status, list(state.iterdir())) == (Status.OK, [])
    (none,) = found("storage", storage=f"file://{state}/new")
    assert (none.status, list(state.iterdir())) == (Status.SKIPPED, [])


# What there is of the machine


def test_a_disk_that_is_full(state: Path) -> None:
    bad = fault("disk", Machine(space_at=lambda _: Space(GIB // 10)), state=state)
    assert bad.status is Status.PROBLEM
    assert bad.found == f"only 102 MiB are free at {str(state)!r}"


def test_a_disk_smaller_than_what_may_be_kept(state: Path) -> None:
    (state / "artifacts").mkdir()
    (state / "artifacts" / "kept").write_bytes(bytes(1000))
    bad = fault("disk", Machine(space_at=lambda _: Space(10 * GIB)), state=state, keep_gib=30)
    assert bad.status is Status.WARNING
    assert (bad.found.endswith("may grow by 30.0 GiB"), bad.advice[:12]) == (True, "--keep-gib 8")


def test_a_disk_without_room_for_more_files(state: Path) -> None:
    bad = fault("disk", Machine(space_at=lambda _: Space(100 * GIB, 12)), state=state)
    assert (bad.status, "12 more files" in bad.found) == (Status.PROBLEM, True)


def test_more_memory_than_the_container_has(state: Path) -> None:
    bad = fault("memory", Machine(memory_bytes=lambda: 2 * GIB), memory_gib=3)
    assert (bad.status, bad.advice[:12]) == (Status.PROBLEM, "--memory 1.5")


def test_hardly_any_memory_that_is_free() -> None:
    bad = fault("memory", Machine(available_bytes=lambda: GIB // 10))
    assert (bad.status, bad.found.endswith("102 MiB are free")) == (Status.WARNING, True)


def test_few_descriptors() -> None:
    bad = fault("descriptors", Machine(descriptor_limit=lambda: 1024), connections=4096)
    assert bad.status is Status.WARNING
    assert "ulimit -n 4608 (LimitNOFILE= in systemd)" in bad.advice


# Libraries


WANTED = ["grpcio>=1.76", "sqlalchemy>=2.0.36; extra == 'server'", "psycopg>=3.2; extra == 'more'"]


def with_versions(**have: str) -> Machine:
    return Machine(requirements=lambda: WANTED, version_of=have.get)


def test_a_library_that_is_too_old() -> None:
    bad = fault("libraries", with_versions(grpcio="1.60.0", sqlalchemy="2.0.40", psycopg="3.2"))
    assert (bad.status, bad.found) == (Status.PROBLEM, "grpcio 1.60.0 (needs >=1.76)")
    assert bad.advice.startswith("pip install --upgrade 'graftscope'")


def test_a_library_of_an_extra_that_is_too_old() -> None:
    bad = fault("libraries", with_versions(grpcio="1.80", sqlalchemy="2.0.40", psycopg="3.1"))
    assert (bad.status, "'graftscope[more]'" in bad.advice) == (Status.WARNING, True)


def test_a_client_without_a_server_is_no_fault() -> None:
    findings = list(examine(Case(machine=with_versions(grpcio="1.80")), ["libraries", "disk"]))
    assert [x.status for x in findings] == [Status.SKIPPED, Status.OK, Status.SKIPPED]
    assert findings[0].advice == "pip install 'graftscope[server]'"


def test_two_builds_of_onnxruntime() -> None:
    both = {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.0"}
    bad = fault("onnxruntime", Machine(version_of=both.get))
    assert bad.status is Status.PROBLEM
    assert bad.advice.startswith("pip uninstall -y onnxruntime-gpu onnxruntime, then pip install")


def test_a_device_that_is_not_there() -> None:
    bad = fault("device", device="cuda")
    assert bad.status is Status.PROBLEM
    assert bad.found.startswith("device 'cuda' cannot be used")
    assert bad.advice.startswith("--device cpu; or ")
    assert found("computation", device="cuda")[0].found == "device cuda cannot be used"


# Bundles, and what they compute


def test_a_bundle_with_a_flipped_byte(tmp_path: Path) -> None:
    folder = copytree(SMALL, tmp_path / "flipped")
    weights = bytearray((folder / "weights.bin").read_bytes())
    weights[1000] ^= 1
    (folder / "weights.bin").write_bytes(weights)
    bad = fault("bundles", bundles=(folder,), state=tmp_path)
    assert bad.status is Status.PROBLEM
    assert "file 'weights.bin' is damaged or truncated" in bad.found


def test_two_bundles_of_one_name(tmp_path: Path) -> None:
    folders = [copytree(SMALL, tmp_path / name) for name in "ab"]
    bad = fault("bundles", bundles=tuple(folders), state=tmp_path)
    assert bad.advice == "export one of them again with --name"


def test_a_whole_bundle_that_computes_something_else(tmp_path: Path) -> None:
    folder = copytree(SMALL, tmp_path / "other")
    weights = np.frombuffer((folder / "weights.bin").read_bytes(), dtype=np.float32)
    (folder / "weights.bin").write_bytes((weights * np.float32(1.001)).tobytes())
    reseal(folder)
    bad = fault("computation", Machine(reference=folder))
    assert bad.status is Status.PROBLEM
    assert "differs from the known values by" in bad.found
    assert bad.advice.startswith("do not trust results of this machine")
    assert found("computation")[0].status is Status.OK


# Settings and callers


def test_a_variable_that_is_misspelt() -> None:
    case = Case(make_settings(), unknown={"GRAFTSCOPE_WORKRES": "GRAFTSCOPE_WORKERS"})
    bad, _ = examine(case, ["settings"])
    assert (bad.status, bad.check) == (Status.WARNING, "settings")
    assert bad.found == "environment variable GRAFTSCOPE_WORKRES is unknown, and sets nothing"
    assert bad.advice == "set GRAFTSCOPE_WORKERS instead, or unset it"


def test_a_setting_that_is_not_allowed_leaves_what_needs_settings_out() -> None:
    with pytest.raises(InvalidInput) as refused:
        make_settings(workers=0)
    findings = list(examine(Case(refused=str(refused.value)), ["settings", "disk"]))
    assert [x.status for x in findings] == [Status.PROBLEM, Status.SKIPPED]
    assert findings[0].found.startswith("workers 0 is not allowed")


def test_a_server_that_others_reach_without_protection() -> None:
    bad = fault("settings", listen="0.0.0.0:50051")
    assert (bad.status, bad.found[:20]) == (Status.PROBLEM, "other machines reach")
    assert bad.advice.startswith("give --tls-cert FILE --tls-key FILE")
    bad = fault("settings", listen="0.0.0.0:50051", insecure=True, auth="none")
    assert (bad.status, "which --insecure allows" in bad.found) == (Status.WARNING, True)


def test_no_token_is_active(state: Path) -> None:
    asks: dict[str, Any] = {"state": state, "auth": "token", "listen": "unix:none.sock"}
    bad = fault("tokens", **asks)
    assert bad.status is Status.PROBLEM
    assert bad.advice == f"graftscope token create --name NAME --role analyst --state {state}"
    missing = fault("tokens", **{**asks, "state": state / "none"})
    assert missing.advice.startswith("start the server, which makes its state folder, then ")
    with tokens_of(state) as store:
        store.create("alice", Role.ANALYST)
        assert found("tokens", **asks)[0].found == "active: alice"
        store.create("bob", Role.READER, 3 * DAY_S)
    assert "bob (" in fault("tokens", **asks).found


# The processes that it starts


def test_a_sandbox_that_refuses_what_is_harmless() -> None:
    bad = fault("sandbox", sandbox=True, sandbox_memory_mib=64)
    assert bad.status is Status.PROBLEM
    assert "a harmless model was refused there" in bad.found


def test_a_sandbox_that_is_turned_off() -> None:
    assert fault("sandbox", sandbox=False).status is Status.WARNING
    bad = fault("sandbox", sandbox=False, registration=True)
    assert (bad.status, "admins may add models" in bad.found) == (Status.PROBLEM, True)
