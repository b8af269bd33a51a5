"""Who is signed in, and who tried with wrong tokens too often."""

import asyncio
import hashlib
import ipaddress
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from graftscope.explorer._access import secret
from graftscope.explorer._door import Visitor

LIFETIME_S = 12 * 3600.0
"""After which visitors sign in again."""

MOST_SESSIONS = 256
"""At the same time; one more ends the one that was used least recently."""

WRONG_TOKENS = 5
"""That an address may send within `WINDOW_S`."""

WINDOW_S = 60.0

_MOST_ADDRESSES = 10_000
_NETWORK_BITS = 64
"""Of an IPv6 address, those that one household has alone."""


@dataclass(eq=False)
class _Session:
    visitor: Visitor
    ends: asyncio.TimerHandle


class Sessions:
    """Visitors by the secret in their cookie, of which only a hash is kept.

    Args:
        lifetime_s: After which a session ends, whatever goes on in it.
    """

    def __init__(self, lifetime_s: float = LIFETIME_S) -> None:
        self.lifetime_s = lifetime_s
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()
        self._ending: set[asyncio.Task[None]] = set()

    def begin(self, visitor: Visitor) -> str:
        """Let somebody in, and give the secret that stands for them."""
        while len(self._sessions) >= MOST_SESSIONS:
            self._end(next(iter(self._sessions)))
        given = secret()
        key = _key(given)
        ends = asyncio.get_running_loop().call_later(self.lifetime_s, self._end, key)
        self._sessions[key] = _Session(visitor, ends)
        return given

    def find(self, given: str | None) -> Visitor | None:
        """Find whom a secret stands for."""
        # What is looked up is a hash, so its time tells nothing of the secret.
        key = b"" if given is None else _key(given)
        if key not in self._sessions:
            return None
        self._sessions.move_to_end(key)
        return self._sessions[key].visitor

    def end(self, given: str | None) -> None:
        """Sign somebody out."""
        if given is not None:
            self._end(_key(given))

    async def close(self) -> None:
        """Sign everybody out, and wait until they are gone."""
        for key in tuple(self._sessions):
            self._end(key)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _end(self, key: bytes) -> None:
        session = self._sessions.pop(key, None)
        if session is None:
            return
        session.ends.cancel()
        task = asyncio.get_running_loop().create_task(_gone(session.visitor))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class Attempts:
    """Wrong tokens of late, by where they came from.

    Args:
        clock: Seconds that only go on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """Tell for how many seconds an address may not try; 0 where it may."""
        wrong = self._of_late(_network(address))
        if len(wrong) < WRONG_TOKENS:
            return 0
        return max(1, math.ceil(wrong[0] + WINDOW_S - self._clock()))

    def begin(self, address: str) -> None:
        """Note an attempt, before it is known what comes of it: many may come at once."""
        network = _network(address)
        wrong = self._of_late(network)
        wrong.append(self._clock())
        self._wrong[network] = wrong
        self._wrong.move_to_end(network)
        if len(self._wrong) > _MOST_ADDRESSES:
            self._wrong.popitem(last=False)

    def forgive(self, address: str) -> None:
        """Forget an attempt whose token was not wrong."""
        wrong = self._wrong.get(_network(address))
        if wrong:
            wrong.pop()

    def _of_late(self, network: str) -> deque[float]:
        wrong = self._wrong.get(network, deque())
        while wrong and wrong[0] + WINDOW_S <= self._clock():
            wrong.popleft()
        return wrong


def _key(given: str) -> bytes:
    return hashlib.sha256(given.encode()).digest()


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, _NETWORK_BITS), strict=False))


async def _gone(visitor: Visitor) -> None:
    await visitor.leave()
    await visitor.client.close()
