"""TLS: certificates are read again when they change; what others reach is protected or refused."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from access_toys import WHO, Papers, bearer, papers, protected, serial_at, token_of
from graftscope.server import Settings, make_settings
from graftscope.server._protection import authentication, certificates_of
from graftscope.server._server import running_server
from graftscope.server.errors import InvalidInput
from server_toys import TIMEOUT_S, refusal_of

LIST_MODELS = "/graftscope.v1.ModelService/ListModels"


@pytest.fixture
def made(tmp_path: Path) -> Papers:
    (tmp_path / "papers").mkdir()
    return papers(tmp_path / "papers")


@pytest.fixture
def address(toy_vae_bundle: Path, tmp_path: Path, made: Papers) -> Iterator[str]:
    cert, key = made.of_server()
    with protected([toy_vae_bundle], tmp_path / "s", tls_cert=cert, tls_key=key) as found:
        yield found


def test_a_new_certificate_is_shown_and_a_broken_one_is_not(
    address: str, made: Papers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="graftscope.server")
    first = serial_at(address, made.ca)
    cert, key = made.of_server()
    second = serial_at(address, made.ca)
    assert second != first
    good = key.read_bytes()
    key.write_text("no key")
    assert serial_at(address, made.ca) == second
    other, _ = made.issue("other", "localhost")
    cert.write_bytes(other.read_bytes())
    key.write_bytes(good)
    # The key of another certificate.
    assert serial_at(address, made.ca) == second
    key.unlink()
    assert serial_at(address, made.ca) == second
    made.of_server()
    assert serial_at(address, made.ca) not in (first, second)
    told = [x.getMessage() for x in caplog.records if "certificate" in x.getMessage()]
    assert sum("certificate stays as it was" in line for line in told) >= 2
    assert sum("certificate read again" in line for line in told) == 2


def test_a_clients_certificate_is_needed_where_its_authority_is_named(
    toy_vae_bundle: Path, tmp_path: Path, made: Papers
) -> None:
    cert, key = made.of_server()
    settings: dict[str, object] = {"tls_cert": cert, "tls_key": key, "tls_client_ca": made.ca}
    with ExitStack() as stack:
        where = stack.enter_context(protected([toy_vae_bundle], tmp_path / "s", **settings))
        without = stack.enter_context(grpc.secure_channel(where, made.credentials()))
        with pytest.raises(grpc.RpcError) as caught:
            cast(Any, without).unary_unary(LIST_MODELS)(b"", timeout=TIMEOUT_S)
        assert cast(grpc.Call, caught.value).code() is grpc.StatusCode.UNAVAILABLE
        shown = stack.enter_context(grpc.secure_channel(where, made.credentials(client=True)))
        call = cast(Any, shown).unary_unary(LIST_MODELS)
        # Asked for a token as well: the certificate alone is not enough here.
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=TIMEOUT_S)
        assert refusal_of(caught.value).reason == "NO_TOKEN"
        call(b"", metadata=bearer(token_of(tmp_path / "s", "alice")), timeout=TIMEOUT_S)


def test_a_certificates_role_can_be_chosen(
    toy_vae_bundle: Path, tmp_path: Path, made: Papers
) -> None:
    cert, key = made.of_server()
    settings: dict[str, object] = {"tls_cert": cert, "tls_key": key, "tls_client_ca": made.ca}
    settings |= {"auth": None, "tls_client_role": "reader"}
    with ExitStack() as stack:
        where = stack.enter_context(protected([toy_vae_bundle], tmp_path / "s", **settings))
        shown = stack.enter_context(grpc.secure_channel(where, made.credentials(client=True)))
        cast(Any, shown).unary_unary(LIST_MODELS)(b"", timeout=TIMEOUT_S)
        influence = cast(Any, shown).unary_unary("/graftscope.v1.AnalysisService/Influence")
        with pytest.raises(grpc.RpcError) as caught:
            influence(b"", timeout=TIMEOUT_S)
        assert refusal_of(caught.value).message.startswith(
            f"to compute influence maps (Influence) takes the role analyst, and '{WHO}' has"
        )


def test_another_authority_of_clients_counts_from_the_next_connection_on(
    toy_vae_bundle: Path, tmp_path: Path, made: Papers
) -> None:
    cert, key = made.of_server()
    (tmp_path / "others").mkdir()
    others, ca = papers(tmp_path / "others"), tmp_path / "clients.pem"
    ca.write_bytes(made.ca.read_bytes())
    trusted = made.ca.read_bytes()

    def answers(by: Papers) -> bool:
        chain, own = by.of_client()
        shown = grpc.ssl_channel_credentials(trusted, own.read_bytes(), chain.read_bytes())
        with grpc.secure_channel(where, shown) as channel:
            try:
                cast(Any, channel).unary_unary(LIST_MODELS)(b"", timeout=TIMEOUT_S)
            except grpc.RpcError:
                return False
        return True

    settings: dict[str, object] = {"tls_cert": cert, "tls_key": key, "tls_client_ca": ca}
    with protected([toy_vae_bundle], tmp_path / "s", **settings, auth=None) as where:
        assert (answers(made), answers(others)) == (True, False)
        ca.write_bytes(others.ca.read_bytes())
        assert (answers(made), answers(others)) == (False, True)


TLS: dict[str, object] = {"tls_cert": "c.pem", "tls_key": "k.pem"}
MUTUAL: dict[str, object] = {**TLS, "tls_client_ca": "ca.pem"}
OPEN = "0.0.0.0:50051"


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"listen": "127.0.0.1:0"}, "none"),
        ({"listen": "50051"}, "none"),
        ({"listen": "localhost:0"}, "none"),
        ({"listen": "[::1]:0"}, "none"),
        ({"listen": "127.8.9.1:0"}, "none"),
        ({"listen": "unix:/run/x"}, "none"),
        ({"listen": "unix:/run/x", "auth": "token"}, "token"),
        ({"listen": OPEN, **TLS}, "token"),
        ({"listen": OPEN, **MUTUAL}, "certificate"),
        ({"listen": OPEN, **MUTUAL, "auth": "token"}, "token"),
        ({"listen": OPEN, "insecure": True, "auth": "token"}, "token"),
        ({"listen": "127.0.0.1:0", "insecure": True, "auth": "token"}, "token"),
        ({"listen": OPEN, "insecure": True, "auth": "none"}, "none"),
        ({"listen": "127.0.0.1:0", **MUTUAL}, "certificate"),
    ],
)
def test_how_callers_show_who_they_are(settings: dict[str, object], chosen: str) -> None:
    assert authentication(make_settings(**settings)).value == chosen


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"listen": OPEN}, "--tls-cert FILE --tls-key FILE, and make each caller a token with"),
        ({"listen": OPEN}, "or --listen 127.0.0.1:PORT for this machine alone; or --insecure"),
        ({"listen": "[::]:1"}, "or --insecure"),
        ({"listen": "lab.example:1"}, "other machines reach 'lab.example:1'"),
        ({"listen": "10.0.0.1:1", "auth": "token"}, "without TLS"),
        ({"listen": OPEN, **TLS, "auth": "none"}, "graftscope token create"),
        ({"listen": OPEN, "insecure": True}, "--tls-key FILE, or --listen unix:PATH, or --auth no"),
        ({"listen": "127.0.0.1:0", "auth": "token"}, "clients send none in the clear"),
        ({**TLS, "tls_key": None}, "--tls-cert and --tls-key go together"),
        ({"tls_key": "k.pem"}, "--tls-cert and --tls-key go together"),
        ({"tls_client_ca": "ca.pem"}, "--tls-client-ca needs --tls-cert"),
        ({**TLS, "auth": "certificate"}, "--auth certificate needs --tls-client-ca"),
    ],
)
def test_what_protects_nothing_does_not_start(
    settings: dict[str, object], told: str, tmp_path: Path
) -> None:
    async def start(chosen: Settings) -> None:
        async with running_server(chosen):
            raise AssertionError("it started")

    with pytest.raises(InvalidInput, match=told) as caught:
        asyncio.run(start(make_settings(state=tmp_path, **settings)))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_certificates_are_refused_by_name(made: Papers) -> None:
    cert, key = made.of_server()
    other, _ = made.issue("other", "localhost")
    nothing = made.folder / "nothing.pem"
    nothing.write_text("")
    for settings, told in (
        ({"tls_cert": made.folder / "missing", "tls_key": key}, "missing' cannot be read: No such"),
        ({"tls_cert": nothing, "tls_key": key}, "nothing.pem' and --tls-key"),
        ({"tls_cert": other, "tls_key": key}, "other.pem' and .*key values mismatch"),
        ({"tls_cert": cert, "tls_key": nothing}, "must be a certificate in PEM and the key"),
        (
            {"tls_cert": cert, "tls_key": key, "tls_client_ca": nothing},
            "--tls-client-ca .*nothing.pem' must be certificates in PEM",
        ),
    ):
        with pytest.raises(InvalidInput, match=told):
            certificates_of(make_settings(**settings))


def test_the_end_of_the_certificate_is_told_and_again_when_it_is_replaced(made: Papers) -> None:
    first, second = (datetime(year, 3, 1, tzinfo=UTC) for year in (2100, 2101))
    cert, key = _ending(made, first)
    certificates = certificates_of(make_settings(tls_cert=cert, tls_key=key))
    assert certificates is not None
    assert certificates.until_s == first.timestamp()
    _ending(made, second)
    assert certificates.changed()
    assert certificates.until_s == second.timestamp()
    assert certificates_of(make_settings()) is None


def _ending(made: Papers, ends: datetime) -> tuple[Path, Path]:
    """A certificate that expires then, and its key, written over those before."""
    issued = made.authority.issue_cert("localhost", not_after=ends)
    cert, key = made.folder / "server.pem", made.folder / "server.key"
    issued.private_key_pem.write_to_path(str(key))
    cert.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    return cert, key
