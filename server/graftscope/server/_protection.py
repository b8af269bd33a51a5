"""What protects a server that others reach: TLS, and being asked who they are."""

import shlex
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import grpc

from graftscope.server._listening import is_local
from graftscope.server.access import (
    Authentication,
    CertificateFiles,
    Certificates,
    Gate,
    Grants,
    GrantStore,
    KnownTokens,
    Role,
    TokenStore,
)
from graftscope.server.errors import InvalidInput
from graftscope.server.logs import get_logger
from graftscope.server.settings import Settings

_log = get_logger("access")


def authentication(settings: Settings) -> Authentication:
    """How callers show who they are.

    Raises:
        InvalidInput: the settings do not go together, or other machines would reach a server that
            protects nothing.
    """
    chosen = Authentication(settings.auth) if settings.auth else _default(settings)
    if (settings.tls_cert is None) is not (settings.tls_key is None):
        raise InvalidInput(
            "--tls-cert and --tls-key go together: a certificate needs its key", field="tls_cert"
        )
    if settings.tls_client_ca is not None and settings.tls_cert is None:
        raise InvalidInput(
            "--tls-client-ca needs --tls-cert and --tls-key: without TLS no client shows a"
            " certificate",
            field="tls_client_ca",
        )
    if chosen is Authentication.CERTIFICATE and settings.tls_client_ca is None:
        raise InvalidInput(
            "--auth certificate needs --tls-client-ca FILE: the authority of the clients'"
            " certificates",
            field="auth",
        )
    why = danger(settings, chosen)
    if why and not settings.insecure:
        raise InvalidInput(
            f"{why}; or --listen 127.0.0.1:PORT for this machine alone; or --insecure to let it"
            " be so",
            field="listen",
        )
    if _is_useless(settings, chosen):
        raise InvalidInput(
            "this server would ask for tokens without TLS, and clients send none in the clear: give"
            " --tls-cert FILE --tls-key FILE, or --listen unix:PATH, or --auth none; or, for a"
            " proxy that ends TLS, --insecure --auth token",
            field="auth",
        )
    if why:
        _log.warning("others reach this server unprotected", why=why)
    return chosen


def _default(settings: Settings) -> Authentication:
    if settings.tls_client_ca is not None:
        return Authentication.CERTIFICATE
    return Authentication.NONE if is_local(settings.listen) else Authentication.TOKEN


def _is_useless(settings: Settings, chosen: Authentication) -> bool:
    """Whether clients would be asked for tokens that they do not send to such an address."""
    in_clear = settings.tls_cert is None and not settings.listen.startswith("unix:")
    # Who says both has something before the server that tokens reach through TLS.
    is_meant = settings.insecure and settings.auth is not None
    return chosen is Authentication.TOKEN and in_clear and not is_meant


def danger(settings: Settings, chosen: Authentication) -> str:
    """What other machines could do to a server, and what helps; empty where it is protected."""
    if is_local(settings.listen):
        return ""
    reached = f"other machines reach {settings.listen!r}, and "
    tokens = f"make each caller a token with `{make_token(settings)}`"
    if settings.tls_cert is None:
        return (
            f"{reached}without TLS all that is sent can be read and changed on the way: give"
            f" --tls-cert FILE --tls-key FILE, and {tokens}"
        )
    if chosen is Authentication.NONE:
        return f"{reached}with --auth none anybody may do everything: leave it out, and {tokens}"
    return ""


def certificates_of(settings: Settings) -> Certificates | None:
    """The files that TLS needs; None for no TLS.

    Raises:
        InvalidInput: a file cannot be used.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Certificates(
        CertificateFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    )


def credentials(certificates: Certificates | None) -> grpc.ServerCredentials | None:
    """What the server shows and asks for in TLS; None for no TLS."""
    if certificates is None:
        return None

    def configuration() -> grpc.ServerCertificateConfiguration:
        pem = certificates.pem
        return grpc.ssl_server_certificate_configuration([(pem.key, pem.chain)], pem.client_ca)

    # Asked at every new connection, in threads of gRPC's; None is for what has not changed.
    def changed() -> grpc.ServerCertificateConfiguration | None:
        return configuration() if certificates.changed() else None

    return grpc.dynamic_ssl_server_credentials(
        configuration(),
        changed,  # type: ignore[arg-type]  # its stub knows of no None
        require_client_authentication=certificates.pem.client_ca is not None,
    )


@contextmanager
def let_in(
    settings: Settings, asks: Authentication, url: str
) -> Iterator[tuple[Gate, Grants | None]]:
    """What lets callers in, and who may read which array; None where nobody is asked."""
    how: dict[str, object] = {"tls": settings.tls_cert is not None, "auth": asks.value}
    if asks is Authentication.NONE:
        _log.info("callers", **how)
        yield Gate(), None
        return
    with closing(TokenStore(url)) as tokens, closing(GrantStore(url)) as grants:
        now_s, known = time.time(), tokens.all()
        _log.info("callers", **how, tokens=sum(x.state(now_s) == "active" for x in known))
        if asks is Authentication.TOKEN and not known:
            _log.warning(f"nobody can call yet: make a token with `{make_token(settings)}`")
        gate = Gate(asks, KnownTokens(tokens), Role.of(settings.tls_client_role))
        yield gate, Grants(grants, settings.keep_s)


def make_token(settings: Settings) -> str:
    """The command that makes a token for the server with these settings."""
    return f"graftscope token create --name NAME --role analyst {place_option(settings)}"


def place_option(settings: Settings) -> str:
    """The option that names this server to a command; a database's URL may hold a password."""
    if settings.file is not None:
        return f"--config {shlex.quote(str(settings.file))}"
    return "--jobs-url URL" if settings.jobs_url else f"--state {shlex.quote(str(settings.state))}"
