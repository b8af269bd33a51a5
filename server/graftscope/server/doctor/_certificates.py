"""The server's certificate and key, and the authority of its clients."""

import shlex
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from graftscope.server._listening import host_and_port
from graftscope.server.access import Certificate, CertificateFiles, authorities_in, certificate_of
from graftscope.server.doctor._case import Case
from graftscope.server.doctor._finding import Finding, NothingToCheck, ok, problem, warning
from graftscope.server.errors import InvalidInput
from graftscope.server.settings import Settings

_DAY_S = 86_400.0
_SOON_DAYS = 30
_OTHERS_READ = 0o044
_EVERY = ("0.0.0.0", "[::]", "::", "")
_RENEW = "renew it; a running server reads the new file by itself"


def certificates(case: Case) -> Iterator[Finding]:
    """The pair, its names and dates, who can read the key, and the clients' authority."""
    settings, now_s = case.settings, case.machine.now_s()
    chain, key, authority = settings.tls_cert, settings.tls_key, settings.tls_client_ca
    if chain is None or key is None:
        raise NothingToCheck("no TLS is set up")
    if missing := _missing(settings):
        yield problem(*missing)
        return
    try:
        CertificateFiles(chain, key, authority).read()
        shown = certificate_of(chain, key)
    except InvalidInput as error:
        yield problem(
            str(error).replace(", without a password", ""),
            f"name a certificate and its own key: openssl x509 -noout -pubkey -in {chain} and"
            f" openssl pkey -pubout -in {key} must print the same",
        )
        return
    except ssl.SSLError as error:
        yield problem(
            f"{str(chain)!r} cannot be a server's certificate: {error.reason or error}",
            "get a certificate for servers (extended key usage serverAuth)",
        )
        return
    yield from _dates(f"certificate {str(chain)!r}", shown, now_s)
    yield from _names(settings.listen, shown)
    yield from _key(key)
    for file in filter(None, (chain, authority)):
        for each in authorities_in(file):
            yield from _dates(
                f"an authority in {str(file)!r}", each, now_s, tells=file == authority
            )


def _missing(settings: Settings) -> tuple[str, str] | None:
    """Which files are not there, and how to name or make them; None where all are."""
    named = {
        "--tls-cert": settings.tls_cert,
        "--tls-key": settings.tls_key,
        "--tls-client-ca": settings.tls_client_ca,
    }
    gone = {option: path for option, path in named.items() if path and not path.exists()}
    if not gone:
        return None
    found = ", ".join(f"{option} {str(path)!r}" for option, path in gone.items())
    advice = f"name the right file with {' and '.join(gone)}"
    # Beside a key or a certificate that is there, a new pair would take its place.
    if {"--tls-cert", "--tls-key"} <= gone.keys():
        chain, key = (shlex.quote(str(path)) for path in (settings.tls_cert, settings.tls_key))
        advice += (
            ", or make them, for the name HOST by which clients call: openssl req -x509 -newkey ec"
            " -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=HOST -addext"
            f" subjectAltName=DNS:HOST -keyout {key} -out {chain}"
        )
    return f"not there: {found}", advice


def _dates(what: str, shown: Certificate, now_s: float, *, tells: bool = True) -> Iterator[Finding]:
    days = int((shown.until_s - now_s) // _DAY_S)
    if now_s >= shown.until_s:
        yield problem(f"{what} expired on {_date(shown.until_s)}", _RENEW)
    elif now_s < shown.from_s:
        yield problem(
            f"{what} is not valid before {_date(shown.from_s)}, and it is {_date(now_s)} here",
            "check this machine's clock (timedatectl)",
        )
    elif days < _SOON_DAYS:
        yield warning(f"{what} expires in {days} days, on {_date(shown.until_s)}", _RENEW)
    elif tells:
        yield ok(f"{what} is valid until {_date(shown.until_s)}")


def _names(listen: str, shown: Certificate) -> Iterator[Finding]:
    if not shown.names:
        yield problem(
            "the certificate has no subject alternative name, so no client trusts it",
            "get one with the names and addresses that clients use",
        )
        return
    host = ""
    with suppress(InvalidInput):
        host = host_and_port(listen)[0].strip("[]")
    if host not in (*_EVERY, *shown.names):
        yield warning(
            f"the certificate is for {', '.join(shown.names)}, and clients that call {host} are"
            " refused",
            "let clients use a name of the certificate, or get a certificate for this name too",
        )
        return
    yield ok(f"clients may call {', '.join(shown.names)}")


def _key(key: Path) -> Iterator[Finding]:
    mode = key.stat().st_mode
    if mode & _OTHERS_READ:
        yield warning(
            f"other users can read key {str(key)!r}: its mode is {mode & 0o777:o}",
            f"chmod 600 {key}",
        )


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
