"""The synchronous client: numpy in, numpy out. What its methods do is in the flows (`calls`)."""

# So that help() shows types by their public names, and not by the modules that they are in.
from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import ModuleType, TracebackType
from typing import NoReturn, Self

from graftscope.client._async_client import AsyncClient
from graftscope.client._frame import Frame, Frames, Framing
from graftscope.client._sync_methods import Methods
from graftscope.client.calls import (
    DEFAULT_TIMEOUT_S,
    Access,
    GivenTLS,
    ServerChoice,
    SyncDriver,
    close_at_exit,
    import_room,
    reached,
    refuse_pickling,
)
from graftscope.client.interventions import Intervention
from graftscope.client.programs import own_program, own_python
from graftscope.client.values import LatentPairs, ModulesResult


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
            self._way, self._timeout_s = found.way, timeout_s
            self._bundles = tuple(str(each) for each in choice.bundles or ())
            self._frames = Frames(self._framing)
            stack.callback(self._frames.close)
            if self.embedded:
                close_at_exit(self._driver)
            self._resources = stack.pop_all()

    def open_explorer(
        self,
        model: str | None = None,
        layer: str | None = None,
        *,
        intervention: Intervention | None = None,
        seeds: tuple[int, int] | None = None,
        originals: LatentPairs | None = None,
        modules: ModulesResult | None = None,
        height: int = 900,
        port: int = 0,
        through: str = "",
    ) -> Frame:
        """Open the explorer: a page on which modules are grafted by hand, in a frame of a notebook.

        Needs the extra ``explore``. The page asks the server that this client asks, with what this
        client shows of itself, and is served on this machine alone for as long as the client, or
        the frame, is open. A notebook server on another machine needs its port forwarded, or
        `through`: docs/python.md says how.

        Args:
            model: What it begins with, its name; None for that of `modules`, or the page's choice.
            layer: Whose modules are looked at, its name or its level's; None for that of `modules`.
            intervention: What is grafted: swaps and blends from original 2 with weights from -1 to
                2, of whole channels; masks, constants and the like the page does not have.
            seeds: Original 1 and original 2 are the first samples of these, as
                ``generate(model, count=1, seed=...)`` makes them; None for 7 and 8.
            originals: Or they are one pair of latents.
            modules: Modules of a layer, which the page finds again.
            height: Of the frame, in CSS pixels.
            port: Where the page is served; 0 for any free port.
            through: By which address browsers reach that port through a proxy, in which ``{port}``
                stands for it: ``"https://hub.example/user/me/proxy/{port}/"``.

        Returns:
            The frame; as the last line of a cell it shows itself.

        Raises:
            InputError: If the page cannot show what is asked for, or the port is taken.
            UsageError: If it is said twice, or the model is missing.
            MissingExtraError: If the extra is not installed.
        """
        room = import_room("graftscope.explorer", "explore")
        shown = room.Shown.of(
            self.model,
            model=model,
            layer=layer,
            intervention=intervention,
            seeds=seeds,
            originals=originals,
            modules=modules,
        )
        return self._frames.open(shown.behind(), height, port, through)

    def _framing(self, room: ModuleType, port: int, through: str) -> Framing:
        """Begin to serve frames of this client's server."""
        way = room.Way(
            None if self.embedded else self._way.named,
            self._bundles,
            program=own_program(),
            python=own_python(),
            needs=() if self.embedded else self._way.needs,
        )
        connect = partial(AsyncClient.over, self._way, self._timeout_s)
        framing: Framing = room.Framing(connect, way, port, through)
        return framing

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
