"""The verb that opens the explorer: explore."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from graftscope.client._async_client import AsyncClient
from graftscope.client.calls import CA_VARIABLE, TOKEN_VARIABLE, import_room
from graftscope.client.cli._beginning import Beginning
from graftscope.client.cli._output import note, open_address, say, say_json
from graftscope.client.cli._session import unopened
from graftscope.client.cli._shared_options import ACCESS, JsonOption, ServerOptions
from graftscope.client.errors import UsageError
from graftscope.client.programs import own_program, own_python

_FILES = ("token_file", "ca", "cert", "key")
"""Options that name what is shown to a server, or what its certificate is checked by."""


def explore(
    server: ServerOptions,
    beginning: Beginning,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="A picture (.png) or a graft (.json) that the page has saved: it begins with "
            "that.",
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            metavar="HOST:PORT",
            help="Where the page is served: an address of this machine with a port, or a port "
            "alone (0 takes any free one). One that others reach needs --tls-cert. Default: "
            "127.0.0.1:8642, or any free port if that is taken.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            "--tls-cert",
            metavar="FILE",
            help="The certificate that browsers are shown, in PEM; with it each visitor signs in "
            "with a token of the server. Read again when it changes.",
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
    show: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser at once.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Open a page on which you graft modules from one picture to another by hand.

    It prints an address, which opens the page in one browser, and runs until interrupted. A picture
    that the page has saved, as FILE, brings back all that it was made of. Nothing leaves this
    machine except what is sent to the server that --server names.

    To let others open it, name a server that asks for tokens, and serve the page with
    --listen 0.0.0.0:8642, --tls-cert and --tls-key. Each visitor signs in with a token of their
    own (`graftscope token create`).
    """
    room = import_room("graftscope.explorer", "explore")
    certificate = _certificate(room, server, tls_cert, tls_key)
    beginning.refuse_idle(file, signs_in=certificate is not None)
    saved = "" if file is None else room.saved_state(file)
    listener = room.listening(listen, beyond=certificate is not None)

    def ready(address: str) -> None:
        if json:
            say_json({"address": address})
        else:
            say(address)
        # Whoever waits for it on a pipe must have it now.
        sys.stdout.flush()
        if show:
            open_address(address, address)

    try:
        if certificate is None:
            asyncio.run(_explored(room, server, beginning, saved, listener, ready))
        else:
            asyncio.run(_explored_by_many(room, server, saved, listener, certificate, ready))
    finally:
        listener.close()
    note("stopped; a job that has not ended goes on at the server, or at the next start")


def _certificate(
    room: ModuleType, server: ServerOptions, cert: Path | None, key: Path | None
) -> object | None:
    """Read what browsers are shown, if visitors are to sign in; refuse what does not fit that."""
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise UsageError("--tls-cert and --tls-key go together: a certificate needs its key")
    if server.token_file is not None:
        raise UsageError(
            "--token-file does nothing with --tls-cert: each visitor signs in with a token of their"
            " own; leave it out"
        )
    if unopened(server, AsyncClient).embedded:
        raise UsageError(
            "--tls-cert lets visitors sign in with tokens, and a server inside this process asks "
            "for none: name one that does with --server HOST:PORT, or leave out --tls-cert for a "
            "page on this machine alone"
        )
    found: object = room.Certificate(cert, key)
    return found


async def _explored(
    room: ModuleType,
    options: ServerOptions,
    beginning: Beginning,
    saved: str,
    listener: socket.socket,
    ready: Callable[[str], None],
) -> None:
    """Serve the page on this machine, to whoever has its address."""

    def admitted(address: str) -> None:
        note(f"the page is open; another browser opens it at {address}")

    async with unopened(options, AsyncClient) as client:
        way = _way(room, options)
        door = room.Admission(room.reached_at(listener), room.Visitor(client), admitted)
        behind = saved or await beginning.behind(room, client)
        await room.serve(door, listener, lambda address: ready(address + behind), way)


async def _explored_by_many(
    room: ModuleType,
    options: ServerOptions,
    saved: str,
    listener: socket.socket,
    certificate: object,
    ready: Callable[[str], None],
) -> None:
    """Serve the page to whoever has a token of the server."""

    def connect(token: str) -> AsyncClient:
        return unopened(options, AsyncClient, token)

    await room.require_tokens(connect)
    door = room.SignIn(connect, certificate, listener.getsockname()[1])
    try:
        # Visitors are at other machines: they have none of this one's files.
        server = unopened(options, AsyncClient).address
        way = room.Way(server, needs=("token", "own authority"))
        await room.serve(door, listener, lambda address: ready(address + saved), way)
    finally:
        await door.close()


def _way(room: ModuleType, options: ServerOptions) -> object:
    """How the page's server is reached from a terminal of this machine."""
    client = unopened(options, AsyncClient)
    named = {} if client.embedded else {each: getattr(options, each) for each in _FILES}
    files = {each: str(file.absolute()) for each, file in named.items() if file is not None}
    # As the address was given: one with https:// says that there is TLS.
    server = None if client.embedded else client.address
    variables = {"token": ("token_file", TOKEN_VARIABLE), "ca": ("ca", CA_VARIABLE)}
    needs = [
        need
        for need, (option, variable) in variables.items()
        if server is not None and option not in files and os.environ.get(variable)
    ]
    return room.Way(
        server,
        tuple(str(each.resolve()) for each in options.bundle or ()),
        program=own_program(),
        python=own_python(),
        files=files,
        needs=tuple(needs),
    )
