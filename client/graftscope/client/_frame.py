"""The explorer's page in a notebook: the frame that shows it, and what serves the frames."""

import html
from collections.abc import Callable
from types import ModuleType
from typing import Protocol

from graftscope.client.arrays import whole_number
from graftscope.client.calls import import_room


class Frame:
    """The explorer's page, as a notebook shows it; in a browser of this machine its address does.

    Args:
        address: What opens it, for as long as it is open. Whoever has the address, and reaches
            this machine's ports, may do what its client may.
        height: Of the frame, in CSS pixels.
        close: Closes it.
    """

    def __init__(self, address: str, height: int, close: Callable[[], None]) -> None:
        self.address, self.height, self._close = address, height, close

    def close(self) -> None:
        """Let nobody open it any more; pages that are open say that they have ended."""
        self._close()

    def __repr__(self) -> str:
        """Tell the address."""
        return f"<Frame of {self.address}>"

    def _repr_html_(self) -> str:
        return (
            f'<iframe src="{html.escape(self.address)}" title="Graftscope explorer" width="100%" '
            f'height="{self.height}" style="border: 1px solid #8886; border-radius: 6px" '
            'allow="clipboard-write; fullscreen"></iframe>'
        )


class Framing(Protocol):
    """What the explorer's room serves frames with."""

    def open(self, behind: str) -> tuple[str, str]: ...

    def dismiss(self, key: str) -> bool: ...

    def close(self) -> None: ...


class Frames:
    """The frames of a client; what serves them begins with the first and ends with the last.

    Args:
        make: Begins to serve, on a port and through a proxy.
    """

    def __init__(self, make: Callable[[ModuleType, int, str], Framing]) -> None:
        self._make = make
        self._serving: dict[tuple[int, str], Framing] = {}

    def open(self, behind: str, height: int, port: int, through: str) -> Frame:
        """Open one more."""
        whole_number("height", height, low=1)
        whole_number("port", port, high=65_535)
        place = (port, through)
        if place not in self._serving:
            room = import_room("graftscope.explorer", "explore")
            self._serving[place] = self._make(room, port, through)
        framing = self._serving[place]
        address, key = framing.open(behind)

        def close() -> None:
            if framing.dismiss(key) and self._serving.get(place) is framing:
                del self._serving[place]
                framing.close()

        return Frame(address, height, close)

    def close(self) -> None:
        """Close all of them."""
        while self._serving:
            self._serving.popitem()[1].close()
