"""What is said of how an influence job was computed: beside its numbers, in every reply.

It must not know how the job is cut into shards.
"""

from dataclasses import asdict

from graftscope.server.engine import (
    AUTO,
    Cancellation,
    Generator,
    PairSource,
    Plan,
    Subject,
    deviation,
    is_plain,
)
from graftscope.server.jobs._store import Json


def how_it_ran(
    subject: Subject, source: PairSource, plan: Plan, pairs: range, cancellation: Cancellation
) -> dict[str, Json]:
    """Provider, precision and rewrites; and the measured deviation, unless all was plain.

    Args:
        subject: whose influence.
        source: where the pairs come from.
        plan: how it was computed.
        pairs: the job's pairs, of which the first are compared with the plain path.
        cancellation: what may stop the comparison.

    Raises:
        Cancelled: it was stopped.
    """
    said: dict[str, Json] = {
        "provider": plan.provider,
        "precision": plan.precision,
        "rewrites": list(plan.rewrites),
    }
    if is_plain(subject.generator, plan):
        return said
    return {**said, "deviation": asdict(deviation(subject, plan, source, pairs, cancellation))}


def can_run(generator: Generator, plan: Plan) -> bool:
    """Whether a stored plan's provider and precision are there."""
    return plan.backend in generator.backends(AUTO)
