"""How the reader of a report gets to the explorer: by a command line, or by a link to a page."""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from graftscope.client._client import Client
from graftscope.client.calls import import_room, translated
from graftscope.client.cli._model_and_layer import SHIPPED_MODEL
from graftscope.client.cli._shared_options import ServerOptions
from graftscope.client.errors import InputError
from graftscope.client.models import Model
from graftscope.client.programs import own_program

if TYPE_CHECKING:
    from graftscope.client.report import ByHand, LayerSection

_NEEDED = ("starlette", "uvicorn", "websockets")
"""What the explorer needs of the extra ``explore``."""


class Explorer:
    """A page that is served already.

    Args:
        address: Its URL, without the token that opens it; None where there is none.

    Raises:
        InputError: If it is no address of a web page.
        MissingExtraError: If the extra is missing that knows what its addresses hold.
    """

    def __init__(self, address: str | None) -> None:
        self._room: ModuleType | None = None
        self._address = ""
        if address is None:
            return
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InputError(
                f"--explorer {address!r} is no address of a web page, such as "
                "https://lab.example:8642/"
            )
        # A token would let in whoever reads the report.
        self._address = urlunsplit((parts.scheme, parts.netloc, parts.path or "/", "", ""))
        self._room = import_room("graftscope.explorer", "explore")

    def link(self, model: Model, layer: str, k: int) -> str:
        """Give the address at which the page divides a layer into modules; empty for no page."""
        if self._room is None:
            return ""
        low, high = self._room.MODULES
        finds = low <= k <= high
        shown = self._room.Shown(model, layer, k=k if finds else 3, finds=finds)
        return f"{self._address}{shown.behind()}"


def by_hand(
    client: Client,
    options: ServerOptions,
    model: Model,
    sections: Sequence["LayerSection"],
    explorer: Explorer,
) -> Mapping[str, "ByHand"]:
    """Say how each layer's modules are grafted by hand.

    Args:
        client: Of the server that the report is from.
        options: What named that server.
        model: The report's.
        sections: Its layers.
        explorer: A page that is served already, if there is one.
    """
    from graftscope.client.report import ByHand

    there = _server_words(client, options)
    hybridize = shlex.join(["graftscope", "hybridize", "--model", model.name, *there])
    return {
        each.layer: ByHand(
            shlex.join(
                ["graftscope", "explore", "--model", model.name, "--layer", each.layer, *there]
            ),
            hybridize,
            explorer.link(model, each.layer, each.modules),
        )
        for each in sections
    }


def explorer_words(find: Callable[[str], object | None] = find_spec) -> str:
    """Say how the explorer is opened here; where it is not installed, how it is.

    Args:
        find: Tells whether a module is installed.
    """
    opens = f"{_here(own_program())} explore --open"
    if all(find(name) for name in _NEEDED):
        return f"graft modules by hand, on a page: {opens}"
    python = _here(sys.executable)
    return (
        "graft modules by hand, on a page: "
        f"{python} -m pip install 'graftscope[explore]' && {opens}"
    )


def _server_words(client: Client, options: ServerOptions) -> list[str]:
    """The options with which another verb finds the same server."""
    words = [] if client.embedded else ["--server", client.address]
    for name in ("token_file", "ca", "cert", "key", "state"):
        value = getattr(options, name)
        words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    if options.bundle:
        with translated("graftscope."):
            shipped = import_room("graftscope.bundle", "server").find_shipped(SHIPPED_MODEL)
        others = [each for each in options.bundle if each != shipped]
        words += [word for each in others for word in ("--bundle", str(each))]
    return words


def _here(path: str) -> str:
    """A command's path from where one stands, if it is below that."""
    if not path.startswith("/"):
        return path
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
