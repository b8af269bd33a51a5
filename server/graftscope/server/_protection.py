"""What protects a server that others reach: TLS, and being asked who they are."""

import grpc

from graftscope.server._listening import is_local
from graftscope.server.access import Authentication, CertificateFiles, Certificates
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
    danger = "" if is_local(settings.listen) else _danger(settings, chosen)
    if danger and not settings.insecure:
        raise InvalidInput(
            f"{danger}; or --listen 127.0.0.1:PORT for this machine alone; or --insecure to let it"
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
    if danger:
        _log.warning("others reach this server unprotected", why=danger)
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


def _danger(settings: Settings, chosen: Authentication) -> str:
    """What other machines could do to a server, and what helps; empty where it is protected."""
    reached = f"other machines reach {settings.listen!r}, and "
    tokens = "make each caller a token with `graftscope token create --name NAME --role analyst`"
    if settings.tls_cert is None:
        return (
            f"{reached}without TLS all that is sent can be read and changed on the way: give"
            f" --tls-cert FILE --tls-key FILE, and {tokens}"
        )
    if chosen is Authentication.NONE:
        return f"{reached}with --auth none anybody may do everything: leave it out, and {tokens}"
    return ""


def credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """What the server shows and asks for in TLS; None for no TLS.

    Raises:
        InvalidInput: a file cannot be used.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    files = CertificateFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    certificates = Certificates(files)

    def configuration() -> grpc.ServerCertificateConfiguration:
        pem = certificates.pem
        return grpc.ssl_server_certificate_configuration([(pem.key, pem.chain)], pem.client_ca)

    # Asked at every new connection, in threads of gRPC's; None is for what has not changed.
    def changed() -> grpc.ServerCertificateConfiguration | None:
        return configuration() if certificates.changed() else None

    return grpc.dynamic_ssl_server_credentials(
        configuration(),
        changed,  # type: ignore[arg-type]  # its stub knows of no None
        require_client_authentication=files.client_ca is not None,
    )
