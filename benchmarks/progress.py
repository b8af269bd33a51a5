"""What goes on, on stderr: stdout holds the tables alone."""

import sys


def say(line: str) -> None:
    """One line."""
    print(line, file=sys.stderr, flush=True)
