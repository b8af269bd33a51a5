"""The verb that runs a server: serve."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from graftscope.client.arrays import Flag, Real, Whole
from graftscope.client.calls import DEVICES, check_environment, import_room, translated
from graftscope.client.cli._output import note, say_json
from graftscope.client.cli._request_options import completing
from graftscope.client.cli._shared_options import ACCESS, ROLES, JsonOption


def serve(
    bundles: Annotated[
        list[Path] | None,
        typer.Option(
            # As other verbs have it, and in the plural, since a server mostly has several.
            "--bundles",
            "--bundle",
            metavar="PATH",
            help="A bundle, or a folder of bundles; may be repeated. Default: the bundles that "
            "come with the package.",
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            metavar="HOST:PORT",
            help="Where to listen: HOST:PORT, a port alone for this machine (0 takes any free "
            "port), or unix:PATH for a socket. Default: 127.0.0.1:50051.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="cpu|cuda",
            help="Where to compute. Default: cpu.",
            autocompletion=completing(DEVICES),
        ),
    ] = None,
    workers: Annotated[
        int | None,
        Whole(1, 256),
        Flag("--workers", "N", "Parallel runs, 1 to 256. Default: one per core."),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            "--memory",
            metavar="GIB",
            help="What the server may use of memory, in GiB; requests that would take more are "
            "refused. Default: three quarters of what there is.",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="DIR",
            help="Where jobs and results are kept; each server needs its own folder. Default: "
            "the user's state folder.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="Where results and checkpoints lie, if not in the state folder: file:///PATH, or "
            "an object store such as s3://BUCKET/PREFIX. Servers of one database share it.",
        ),
    ] = None,
    keep_days: Annotated[
        float | None,
        typer.Option(
            "--keep-days", metavar="DAYS", help="For how long results are kept. Default: 30."
        ),
    ] = None,
    keep_gib: Annotated[
        float | None,
        typer.Option(
            "--keep-gib",
            metavar="GIB",
            help="How much is kept; what was used longest ago goes first. Default: 50.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            "--tls-cert",
            metavar="FILE",
            help="The server's certificate in PEM, which turns on TLS; read again when it changes.",
            rich_help_panel=ACCESS,
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            "--tls-key",
            metavar="FILE",
            help="The key of that certificate.",
            rich_help_panel=ACCESS,
        ),
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(
            "--tls-client-ca",
            metavar="FILE",
            help="Lets only clients in whose certificate this authority has signed.",
            rich_help_panel=ACCESS,
        ),
    ] = None,
    tls_client_role: Annotated[
        str | None,
        typer.Option(
            "--tls-client-role",
            metavar="ROLE",
            help="What a client may do who shows a certificate and no token: reader, analyst or "
            "admin. Default: analyst.",
            autocompletion=completing(ROLES),
            rich_help_panel=ACCESS,
        ),
    ] = None,
    auth: Annotated[
        str | None,
        typer.Option(
            "--auth",
            metavar="none|token|certificate",
            help="How callers show who they are. Default: certificate with --tls-client-ca; "
            "else token, or none where only this machine reaches the server.",
            autocompletion=completing(("none", "token", "certificate")),
            rich_help_panel=ACCESS,
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Let other machines reach the server without TLS, or without asking who calls "
            "(--auth none); with --auth token, for a proxy that ends TLS.",
            rich_help_panel=ACCESS,
        ),
    ] = False,
    grace: Annotated[
        float | None,
        Real(0, 3600),
        Flag(
            "--grace",
            "SECONDS",
            "Within how long the server ends once it is told to stop, 0 to 3600; calls that go on "
            "have most of it to finish. Default: 30.",
        ),
    ] = None,
    registration: Annotated[
        bool,
        typer.Option(
            "--allow-registration",
            help="Let admins add and remove models over the wire (`graftscope models --add`).",
        ),
    ] = False,
    forget_plans: Annotated[
        bool,
        typer.Option(
            "--forget-plans",
            help="Measure anew what is fastest here, such as after something else kept the "
            "machine busy.",
        ),
    ] = False,
    log_level: Annotated[
        str | None,
        typer.Option(
            "--log-level",
            metavar="LEVEL",
            help="What is logged: debug, info, warning or error. Default: info.",
            autocompletion=completing(("debug", "info", "warning", "error")),
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Serve bundles over gRPC until interrupted; jobs go on at the next start.

    As it stands, this machine alone reaches the server, and every user of it may call.

    So that others may reach it: first make a token for each of them (`graftscope token create`),
    then serve with --listen 0.0.0.0:50051, --tls-cert and --tls-key, and give each their token.
    """
    room = import_room("graftscope.server", "server")
    # What is not given keeps the server's own default, which its environment may set.
    given: dict[str, object] = {
        "bundles": tuple(bundles) if bundles else None,
        "listen": listen,
        "device": device,
        "workers": workers,
        "memory_gib": memory,
        "state": state,
        "storage": storage,
        "keep_days": keep_days,
        "keep_gib": keep_gib,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "tls_client_ca": tls_client_ca,
        "tls_client_role": tls_client_role,
        "auth": auth,
        "insecure": insecure or None,
        "grace_s": grace,
        "registration": registration or None,
        "forget_plans": forget_plans or None,
        "log_level": log_level,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    # The server's log says it too, with its own prefix: once is enough.
    logging.getLogger("graftscope.server.server").addFilter(_says_more_than_serving)
    check_environment()
    with translated("graftscope."):
        room.serve(room.make_settings(**chosen), lambda address: _ready(address, json))
    note("stopped; a job that has not ended goes on at the next start")


def _says_more_than_serving(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("event='serving'")


def _ready(address: str, json: bool) -> None:
    if json:
        say_json({"address": address})
        # Whoever waits for it on a pipe must have it now.
        sys.stdout.flush()
    else:
        note(f"serving at {address}")
