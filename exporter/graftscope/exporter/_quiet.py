"""Keep libraries' notes to their developers off the terminal."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Let loggers, and those below them, say nothing while the block runs.

    Args:
        loggers: Their names.
    """
    given = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in given]
    for logger in given:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(given, levels, strict=True):
            logger.setLevel(level)
