"""The command line, thin over `Client`: one module a group of verbs.

A verb reads its options, asks the client, and says the result. Results go to standard output,
everything else to standard error, and whatever goes wrong is one line with an exit code.
"""

import os
import sys
from collections.abc import Sequence

__all__ = ["main", "run"]


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: What follows ``graftscope``.

    Returns:
        The exit code, as `graftscope.client.errors` lists them.
    """
    # gRPC reads this when it is imported; its own log lines would stand among ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from graftscope.client.cli._main import run_verb

    return run_verb(arguments)
