"""Stopping rules: from the contract's messages to specifications, and whether they can hold.

It must not know how a rule is decided.
"""

from graftscope.server.analysis import Method, require_smoothing
from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import (
    LEAST_STABLE_PAIRS,
    InfluenceSpec,
    RelativeErrorSpec,
    StableLabelsSpec,
    UntilSpec,
    least_error_pairs,
)
from graftscope.server.rpc._checks import smoothing
from graftscope.server.rpc._versions import method
from graftscope.v1 import analysis_service_pb2

_DEFAULT_K = 3


def until(message: analysis_service_pb2.StoppingRule) -> UntilSpec | None:
    """The rule of a request, with defaults filled in; None where there is none.

    Raises:
        Unsupported: the method is of a later version.
    """
    match message.WhichOneof("rule"):
        case "relative_standard_error":
            return RelativeErrorSpec(message.relative_standard_error)
        case "stable_labels":
            labels = message.stable_labels
            return StableLabelsSpec(
                k=labels.k or _DEFAULT_K,
                method=method(labels.method),
                seed=labels.seed,
                **smoothing(labels),
            )
        case None:
            return None


def check_until(spec: InfluenceSpec) -> None:
    """Checks that a job's rule can hold at all.

    Raises:
        InvalidInput: a value is out of range, the maximum is below what the rule needs, or labels
            are wanted of maps that are not of channels.
    """
    match spec.until:
        case RelativeErrorSpec(error=error):
            if not 0 < error < 1:
                raise InvalidInput(
                    f"until: a relative standard error of {error} is not allowed; more than 0 and "
                    "less than 1 is",
                    field="until.relative_standard_error",
                )
            pairs = "stratified pairs" if spec.originals.stratified else "pairs"
            least = least_error_pairs(spec)
            _check_pairs(spec, least, pairs, "a relative standard error")
        case StableLabelsSpec():
            _check_labels(spec, spec.until)
            _check_pairs(spec, LEAST_STABLE_PAIRS, "pairs", "stable labels")


def _check_pairs(spec: InfluenceSpec, least: int, pairs: str, what: str) -> None:
    if spec.pairs < least:
        raise InvalidInput(
            f"until: {what} can be told from {least} {pairs} on, and at most {spec.pairs} are "
            "asked for",
            field="pairs.count",
        )


def _check_labels(spec: InfluenceSpec, labels: StableLabelsSpec) -> None:
    if spec.subject not in ("channels", "layers"):
        raise InvalidInput(
            f"until: stable labels are modules of channels, and maps of {spec.subject} are asked "
            "for; use a relative standard error",
            field="until.stable_labels",
        )
    fewest = min(len(rows) for rows in spec.rows)
    if not 2 <= labels.k <= fewest:
        raise InvalidInput(
            f"until: k is {labels.k}; 2 to {fewest} is allowed, the number of channels whose maps "
            "are asked for",
            field="until.stable_labels.k",
        )
    if Method(labels.method).needs_products and not spec.products:
        raise InvalidInput(
            f"until: method {labels.method} needs products of the channels' effects; ask for "
            "`products` too",
            field="until.stable_labels.method",
        )
    require_smoothing(labels.window, labels.percentile, spec.map_size)
