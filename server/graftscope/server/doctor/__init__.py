"""Examines a machine and the settings of a server, before it is started or beside it.

    from graftscope.server.doctor import Case, examine

    for finding in examine(Case(make_settings(listen="0.0.0.0:50051"))):
        print(finding.status, finding.check, finding.found, finding.advice)

Nothing that a server keeps is changed. Each check imports what it needs, so that a client
without a server is examined too. No other package of the server imports this one.
"""

from graftscope.server.doctor._case import Case, Machine, Space
from graftscope.server.doctor._examination import CHECKS, Check, examine
from graftscope.server.doctor._finding import (
    Finding,
    NothingToCheck,
    Status,
    ok,
    problem,
    warning,
)

__all__ = [
    "CHECKS",
    "Case",
    "Check",
    "Finding",
    "Machine",
    "NothingToCheck",
    "Space",
    "Status",
    "examine",
    "ok",
    "problem",
    "warning",
]
