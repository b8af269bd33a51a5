"""Which stopping rule a specification names, and from how many pairs on it can be told at all.

It must not know sums, workers or gRPC.
"""

from graftscope.server.engine import SHARD_PAIRS
from graftscope.server.jobs._racing import (
    LEAST_CONFIDENT_PAIRS,
    LEAST_RACE_PAIRS,
    LEAST_STRATIFIED_RACE_PAIRS,
    ErrorJudge,
    LabelJudge,
    RaceRule,
)
from graftscope.server.jobs._specification import (
    ConfidentLabelsSpec,
    InfluenceSpec,
    RelativeErrorSpec,
    StableLabelsSpec,
)
from graftscope.server.jobs._stopping import (
    LEAST_PAIRS,
    LEAST_STRATIFIED_PAIRS,
    ErrorRule,
    LabelRule,
    Rule,
)


def rule_of(spec: InfluenceSpec) -> Rule | None:
    """The rule that a specification names, if any."""
    match spec.until:
        case RelativeErrorSpec() if goes_together(spec):
            return ErrorRule(spec.until.error, spec.pairs, least_error_pairs(spec))
        case RelativeErrorSpec():
            stratified = spec.originals.stratified
            least = LEAST_STRATIFIED_RACE_PAIRS if stratified else LEAST_RACE_PAIRS
            return RaceRule(ErrorJudge(spec.until.error), spec.pairs, least // SHARD_PAIRS)
        case ConfidentLabelsSpec():
            judge = LabelJudge(spec.until, spec.rows)
            least, together = LEAST_CONFIDENT_PAIRS // SHARD_PAIRS, goes_together(spec)
            return RaceRule(judge, spec.pairs, least, together)
        case StableLabelsSpec():
            return LabelRule(spec.until, spec.rows, spec.pairs)
        case None:
            return None


def goes_together(spec: InfluenceSpec) -> bool:
    """Whether all maps get the same pairs: with no rule that stops them one by one, and where
    products are wanted, which take the effects of every two in the same pair.
    """
    until = spec.until
    return until is None or isinstance(until, StableLabelsSpec) or until.together or spec.products


def least_error_pairs(spec: InfluenceSpec) -> int:
    """From how many pairs on a job's standard errors are believed."""
    return LEAST_STRATIFIED_PAIRS if spec.originals.stratified else LEAST_PAIRS
