"""Pages of lists."""

import re

from graftscope.server.errors import InvalidInput

_LIMIT = 100
_TOKEN = re.compile(r"[0-9]{0,9}")


def page(size: int, token: str) -> tuple[int, int]:
    """How many entries a page has, and how many come before it.

    Raises:
        InvalidInput: the size is negative, or the token is not one that a page ended with.
    """
    if size < 0:
        raise InvalidInput(f"page_size is {size}; 0 to {_LIMIT} is allowed", field="page_size")
    if not _TOKEN.fullmatch(token):
        raise InvalidInput(
            f"page_token {token!r} is unknown; use next_page_token of the page before",
            field="page_token",
        )
    return min(size or _LIMIT, _LIMIT), int(token or 0)
