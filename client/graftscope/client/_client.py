"""The synchronous client: numpy in, numpy out. What its methods do is in the flows (`calls`)."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from graftscope.client._sync_methods import Methods
from graftscope.client.calls import (
    DEFAULT_TIMEOUT_S,
    Access,
    GivenTLS,
    ServerChoice,
    SyncDriver,
    close_at_exit,
    reached,
    refuse_pickling,
)


class Client(Methods):
    """Speaks to a Graftscope server, or to an embedded one that lives as long as the client.

    Usage::

        with Client() as client:
            maps = client.influence("vae-celeba", "intermediate", pairs=200)
            modules = client.modules(maps, k=3)

    Every method raises errors of `graftscope.client.errors`.

    Args:
        address: HOST:PORT of a server, a port alone for one of this machine, unix:PATH, or
            https://HOST:PORT for TLS; None for the environment variable GRAFTSCOPE_SERVER, or else
            an embedded server.
        bundles: Bundle folders of the embedded server; None for those that come with the package.
        workers: Runs side by side in the embedded server; None for one a core.
        device: Where the embedded server computes: ``cpu`` or ``cuda``; None for cpu.
        state: Folder for the embedded server's jobs and results; None for its default.
        timeout_s: Seconds that a call may take; None for no limit. Jobs have none.
        token: Who the client is, for a server that asks; None for the environment variable
            GRAFTSCOPE_TOKEN. It is sent through TLS or a unix socket, never in the clear.
        tls: The file of the authority that signed the server's certificate; True for the public
            ones; `TLS` for a certificate of the client's own too; False for no TLS. None for the
            file that the environment variable GRAFTSCOPE_CA names, if any.

    Raises:
        InputError: If the address or the timeout is not allowed, or a bundle is damaged.
        NotFoundError: If a bundle is not there.
        MissingExtraError: If an embedded server is needed and not installed.
        UsageError: If both address and bundles are given, or a token would be sent in the clear.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        bundles: Sequence[str | Path] | None = None,
        workers: int | None = None,
        device: str | None = None,
        state: str | Path | None = None,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        token: str | None = None,
        tls: GivenTLS = None,
    ) -> None:
        choice = ServerChoice(
            address, bundles, workers, device, state, Access(token, tls)
        ).resolved()
        self.embedded = choice.address is None
        """Whether the server lives in this process."""
        with ExitStack() as stack:
            found = stack.enter_context(reached(choice))
            self.address = found.way.address
            """HOST:PORT of the server."""
            self.keeps_results = found.keeps_results
            """Whether jobs and results outlive the client. Not those of an embedded server that
            found the default state folder in use; the logger `graftscope.client` warns of it."""
            self._driver = SyncDriver(found.way, timeout_s)
            stack.callback(self._driver.close)
            if self.embedded:
                close_at_exit(self._driver)
            self._resources = stack.pop_all()

    def close(self) -> None:
        """Close the connection, and end the embedded server."""
        self._resources.close()

    def __repr__(self) -> str:
        """Tell whom it speaks to."""
        where = "a server inside this process" if self.embedded else self.address
        return f"<Client of {where}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied, and say what to do instead."""
        refuse_pickling(Client.__name__, self.address)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        self.close()
