"""The tokens that a server knows: read from their table about once a second, not at every call."""

import asyncio
import hmac
import time

from graftscope.server.access._tokens import Token, TokenStore, digest
from graftscope.server.errors import StoreUnavailable
from graftscope.server.logs import get_logger

_REFRESH_S = 0.5
"""From this age on the tokens are read again, while calls go on."""
_FRESH_S = 1.0
"""At this age calls wait for it: a revoked token is refused within about a second."""
_UNKNOWN_AGE_S = 0.05
"""A token that is not known may be new; whoever sends such ones has the table read no oftener."""
_PATIENCE_S = 2.0
"""For so long a call waits for the table; then what is known of it decides."""
_LONGEST_S = 60.0
"""A table that cannot be read, since the database is locked or gone, is stood in for so long."""

_log = get_logger("access")


class KnownTokens:
    """Tells tokens by their text; belongs to the event loop.

    Args:
        store: their table.
    """

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._tokens: dict[str, Token] = {}
        self._read_s = -_LONGEST_S
        self._tried_s = -_LONGEST_S
        self._reading: asyncio.Task[None] | None = None

    async def find(self, text: str) -> Token | None:
        """The token of this text; None where there is none.

        Raises:
            StoreUnavailable: the table has been unreadable for too long.
        """
        sha256 = digest(text)
        if self._age_s > _FRESH_S:
            await self._read()
        elif self._age_s > _REFRESH_S:
            self._start()
        if found := self._found(sha256):
            return found
        if (wait_s := _UNKNOWN_AGE_S - self._age_s) > 0:
            await asyncio.sleep(wait_s)
        if self._age_s >= _UNKNOWN_AGE_S:
            await self._read()
        return self._found(sha256)

    def _found(self, sha256: str) -> Token | None:
        token = self._tokens.get(sha256)
        # What a dictionary's look-up takes may tell where two hashes differ; this does not.
        return token if token and hmac.compare_digest(token.sha256, sha256) else None

    @property
    def _age_s(self) -> float:
        return time.monotonic() - self._tried_s

    async def _read(self) -> None:
        """Reads the table, once for all calls that wait for it."""
        await asyncio.wait({self._start()}, timeout=_PATIENCE_S)
        if time.monotonic() - self._read_s > _LONGEST_S:
            raise StoreUnavailable(
                "tokens cannot be checked while the database cannot be used; ask again",
                retry_after_s=_FRESH_S,
            )

    def _start(self) -> asyncio.Task[None]:
        if self._reading is None:
            self._reading = asyncio.create_task(self._reread())
            self._reading.add_done_callback(self._done)
        return self._reading

    def _done(self, task: asyncio.Task[None]) -> None:
        self._reading = None

    async def _reread(self) -> None:
        started_s = time.monotonic()
        try:
            tokens = await asyncio.to_thread(self._store.all)
        except Exception as error:
            _log.warning("tokens cannot be read", error=type(error).__name__)
        else:
            self._tokens = {token.sha256: token for token in tokens}
            self._read_s = started_s
        self._tried_s = started_s
