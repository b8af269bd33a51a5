"""An explorer that other machines reach: each visitor has a token, and the server decides."""

import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from socket import create_connection, socket

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from access_toys import Papers, papers, protected, token_of, tokens_of
from browser_toys import browser, with_chromium
from explorer_toys import Explored, opened, page
from graftscope.client import AsyncClient, Client
from graftscope.client.cli import run
from graftscope.client.errors import InputError
from graftscope.explorer import Certificate, Door, SignIn
from graftscope.explorer._sessions import LIFETIME_S, WINDOW_S, WRONG_TOKENS, Attempts
from graftscope.server.access import Role
from page_toys import DESK, behind

MODEL = "toy-vae"
LAYER = "deconv1"
SHOW = {
    "ask": "show",
    "model": MODEL,
    "originals": [{"seed": seed, "inputs": {}, "photograph": None} for seed in (7, 8)],
    "truncation": 1,
    "steps": [{"layer": LAYER, "channels": [0], "weight": 1.0}],
}
STATE = behind(model=MODEL, layer=LAYER, seeds=[41, 8])
FIND = {"ask": "modules", "model": MODEL, "layer": LAYER, "k": 2, "pairs": 64}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def server(toy_vae_bundle: Path, state: Path, made: Papers) -> Iterator[str]:
    """A server with TLS that asks for tokens."""
    cert, key = made.of_server()
    with protected([toy_vae_bundle], state, tls_cert=cert, tls_key=key) as address:
        yield address


def signing_in(
    server: str, made: Papers, lifetime_s: float = LIFETIME_S
) -> AbstractContextManager[Explored]:
    """An explorer of a server, where visitors sign in."""
    certificate = Certificate(*made.issue("page", "localhost", "127.0.0.1"))

    @asynccontextmanager
    async def door(listener: socket, running: Explored) -> AsyncIterator[Door]:
        running.trust = ssl.create_default_context(cafile=str(made.ca))
        port = listener.getsockname()[1]
        found = SignIn(
            lambda token: AsyncClient(server, token=token, tls=made.ca),
            certificate,
            port,
            lifetime_s,
        )
        yield found
        await found.close()

    return opened(door)


@pytest.fixture(scope="module")
def running(server: str, made: Papers) -> Iterator[Explored]:
    with signing_in(server, made) as started:
        yield started


@pytest.fixture(scope="module")
def alice(state: Path) -> str:
    return token_of(state, "alice")


def test_without_a_token_there_is_a_form_and_nothing_else(running: Explored) -> None:
    assert running.addresses[0].startswith("https://localhost:")
    status, headers, _ = running.get("/")
    assert (status, headers["location"]) == (303, "/sign-in")
    status, headers, form = running.get("/sign-in")
    assert status == 200
    assert b'type="password"' in form
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert running.get("/assets/sign-in.css")[0] == running.get("/assets/index.css")[0] == 200
    for path in ("/assets/index.js", "/who", "/live", "/nothing"):
        assert running.get(path)[0] == 403
    for cookie in ("", "__Host-graftscope-1=guessed"):
        with pytest.raises(InvalidStatus) as refused, page(running, cookie):
            pass
        assert refused.value.response.status_code == 403


def test_a_token_opens_the_page_and_its_cookie_goes_nowhere_else(
    running: Explored, alice: str
) -> None:
    status, headers, body = running.post("/sign-in", {"token": f" {alice}\n"})
    assert (status, headers["location"], body) == (303, "/", b"")
    for word in ("__Host-", "HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=43200"):
        assert word in headers["set-cookie"]
    assert alice not in str(headers)
    cookie = headers["set-cookie"].partition(";")[0]
    assert running.get("/", Cookie=cookie)[0] == running.get("/who", Cookie=cookie)[0] == 200
    with page(running, cookie) as opened_page:
        assert opened_page.answer(ask="models").said["models"]
        assert "hybrid" in opened_page.answer(**SHOW).pictures


def test_a_wrong_token_is_told_and_never_repeated(
    running: Explored, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for token in ("gs_" + "x" * 43, "no token at all", "'\"><script>"):
        status, headers, form = running.post("/sign-in", {"token": token})
        assert status == 403
        assert "set-cookie" not in headers
        assert b"The server does not know this token." in form
        assert token.encode() not in form
        assert token not in caplog.text
    assert "a wrong token from 127.0.0.1" in caplog.text


def test_who_tries_too_often_waits_even_with_the_right_token(
    server: str, made: Papers, alice: str
) -> None:
    with signing_in(server, made) as started:
        for _ in range(WRONG_TOKENS):
            assert started.post("/sign-in", {"token": "gs_wrong"})[0] == 403
        status, headers, form = started.post("/sign-in", {"token": alice})
        assert status == 429
        assert 0 < int(headers["retry-after"]) <= WINDOW_S
        assert b"Too many wrong tokens came from your address." in form


def test_attempts_are_forgotten_after_a_while_and_count_for_a_network_alone() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for at in range(WRONG_TOKENS):
        now[0] = float(at)
        attempts.begin(f"2001:db8::{at}")
    assert attempts.wait_s("2001:db8::ff") == WINDOW_S - (WRONG_TOKENS - 1)
    assert attempts.wait_s("2001:db8:0:1::1") == 0
    assert attempts.wait_s("::ffff:192.0.2.1") == attempts.wait_s("192.0.2.1") == 0
    now[0] = WINDOW_S
    assert attempts.wait_s("2001:db8::ff") == 0
    attempts.begin("2001:db8::ff")
    assert attempts.wait_s("2001:db8::ff") == 1
    attempts.forgive("2001:db8::ff")
    assert attempts.wait_s("2001:db8::ff") == 0


FOREIGN = {
    "another page": {"Origin": "https://elsewhere.example"},
    "the same page without TLS": {"Origin": "http://localhost"},
    "no page at all": {"Origin": ""},
    "another name": {"Host": "rebound.example"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_nobody_signs_in_or_out_from_elsewhere(
    running: Explored, alice: str, headers: dict[str, str]
) -> None:
    assert running.post("/sign-in", {"token": alice}, **headers)[0] == 403
    cookie = running.signed_in(alice)
    assert running.post("/sign-out", {}, Cookie=cookie, **headers)[0] == 403
    assert running.get("/who", Cookie=cookie)[0] == 200


def test_another_name_is_refused_with_those_that_there_are(running: Explored) -> None:
    status, _, body = running.get("/", Host="192.0.2.7:8642")
    assert status == 403
    assert b"certificate is not for '192.0.2.7:8642'; it is for: localhost, 127.0.0.1" in body


def test_a_reader_grafts_but_starts_no_job_and_is_told_so(running: Explored, state: Path) -> None:
    reader = running.signed_in(token_of(state, "rita", Role.READER))
    with page(running, reader) as opened_page:
        assert "hybrid" in opened_page.answer(**SHOW).pictures
        refusal = opened_page.refusal(**FIND)
    assert refusal["kind"] == "AccessError"
    assert "reader" in refusal["message"]
    assert "analyst" in refusal["message"]


def test_visitors_have_jobs_of_their_own_and_do_not_see_each_others(
    running: Explored, server: str, made: Papers, state: Path, alice: str
) -> None:
    bob = token_of(state, "bob")
    names = {}
    with page(running, running.signed_in(alice)) as hers:
        names[alice] = hers.answer(**FIND).said["job"]["name"]
        with page(running, running.signed_in(bob)) as his:
            # He has begun nothing, so there is nothing of his to stop.
            assert his.answer(ask="stop", model=MODEL, layer=LAYER).said["stopped"]
            names[bob] = his.answer(**FIND).said["job"]["name"]
    assert names[alice] != names[bob]
    for mine, other in ((alice, bob), (bob, alice)):
        with Client(server, token=mine, tls=made.ca) as client:
            seen = {job.name for job in client.jobs()}
        assert names[mine] in seen
        assert names[other] not in seen


def test_whoever_signs_out_is_gone_from_every_page_and_others_are_not(
    running: Explored, alice: str, state: Path
) -> None:
    cookie, other = running.signed_in(alice), running.signed_in(token_of(state, "carol"))
    with page(running, cookie) as first, page(running, other) as stays:
        first.answer(**SHOW)
        status, headers, _ = running.post("/sign-out", {}, Cookie=cookie)
        assert (status, headers["location"]) == (303, "/sign-in")
        with pytest.raises(ConnectionClosed) as closed:
            first.hear()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        assert stays.answer(ask="models").said["models"]
    assert running.get("/who", Cookie=cookie)[0] == 403


def test_a_session_ends_after_its_time(server: str, made: Papers, alice: str) -> None:
    with signing_in(server, made, lifetime_s=0.5) as started:
        cookie = started.signed_in(alice)
        with page(started, cookie) as opened_page, pytest.raises(ConnectionClosed):
            opened_page.hear()
        assert started.get("/who", Cookie=cookie)[0] == 403


def test_a_token_that_is_revoked_is_refused_where_it_is_used(
    running: Explored, state: Path
) -> None:
    with page(running, running.signed_in(token_of(state, "dave"))) as opened_page:
        with tokens_of(state) as store:
            store.revoke("dave")
        while "error" not in (said := opened_page.answer(ask="models").said):
            pass
    assert "revoked" in said["error"]["message"]


@with_chromium
def test_in_a_browser_what_one_looked_at_comes_back_after_signing_out_and_in(
    running: Explored, alice: str, tmp_path: Path
) -> None:
    with browser(tmp_path) as tab:
        tab.listen()
        tab.open(f"{running.addresses[0]}{STATE}", DESK)
        assert tab.value("document.activeElement.name") == "token"
        field, enter = tab.page.get_by_label("Token"), tab.page.get_by_role("button")
        field.fill("gs_wrong")
        enter.click()
        assert "does not know this token" in tab.page.get_by_role("alert").inner_text()
        for _ in range(2):
            field.fill(alice)
            enter.click()
            tab.page.get_by_label("Seed of original 1").wait_for()
            assert tab.page.get_by_label("Seed of original 1").input_value() == "41"
            assert tab.value("document.cookie") == ""
            tab.page.get_by_role("button", name="Sign out").click()
            field.wait_for()
        asked = [each for each in tab.heard if each["method"] == "Network.requestWillBeSent"]
        assert asked
        assert not any(alice in each["params"]["request"]["url"] for each in asked)


# The certificate.


def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(
    server: str, made: Papers, caplog: pytest.LogCaptureFixture
) -> None:
    def shown(started: Explored) -> object:
        host, _, port = started.host.rpartition(":")
        with create_connection((host, int(port))) as plain:
            assert started.trust is not None
            with started.trust.wrap_socket(plain, server_hostname="localhost") as wrapped:
                told = wrapped.getpeercert()
                assert told is not None
                return told["serialNumber"]

    with signing_in(server, made) as started:
        first = shown(started)
        cert, _ = made.issue("page", "localhost", "127.0.0.1")
        second = shown(started)
        assert first != second
        cert.write_text("no certificate")
        assert shown(started) == second
    assert "the certificate stays as it was" in caplog.text


def test_a_certificate_says_for_which_hosts_it_is(made: Papers) -> None:
    found = Certificate(*made.issue("many", "lab.example", "*.lab.example", "192.0.2.1", "::1"))
    for host in ("lab.example", "LAB.example", "a.lab.example", "192.0.2.1", "::1"):
        assert found.is_for(host), host
    for host in ("example", "b.a.lab.example", "xlab.example", "192.0.2.2", "", "[::1]"):
        assert not found.is_for(host), host


def test_files_that_are_no_certificate_are_told_of(made: Papers, tmp_path: Path) -> None:
    cert, key = made.issue("one", "lab.example")
    _, other = made.issue("other", "lab.example")
    for given, words in (
        ((cert, other), "key values mismatch"),
        ((key, key), "not in PEM"),
        ((cert, tmp_path / "gone"), "No such file"),
        (made.issue("person", "someone@lab.example"), "names no host"),
    ):
        with pytest.raises(InputError, match=words):
            Certificate(*given)


# The command line.


def test_explore_refuses_what_would_let_anybody_in(
    toy_vae_bundle: Path, made: Papers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cert, key = made.of_server()
    tls = ["--tls-cert", str(cert), "--tls-key", str(key)]

    def refusal(*options: str) -> str:
        assert run(["explore", "--listen", "0.0.0.0:0", *options]) == 2
        told = capsys.readouterr().err
        assert len(told.strip().splitlines()) == 1
        return told

    assert "so the explorer needs --tls-cert FILE and --tls-key FILE there" in refusal()
    assert "--tls-cert and --tls-key go together" in refusal("--tls-cert", str(cert))
    assert "a server inside this process asks for none" in refusal(*tls)
    assert "a token is not sent to 127.0.0.1:1 in the clear" in refusal(*tls, "--server", ":1")
    papers_of = {"tls_cert": cert, "tls_key": key}
    with protected([toy_vae_bundle], tmp_path, auth="none", insecure=True, **papers_of) as address:
        told = refusal(*tls, "--server", address, "--ca", str(made.ca))
    assert f"the server at {address} asks nobody who they are" in told
