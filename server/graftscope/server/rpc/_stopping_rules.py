"""Stopping rules: from the contract's messages to specifications, and whether they can hold.

It must not know how a rule is decided.
"""

from typing import TypedDict

from graftscope.server.analysis import Method, require_smoothing
from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import (
    LEAST_CONFIDENT_PAIRS,
    LEAST_LABEL_PROBABILITY,
    LEAST_STABLE_PAIRS,
    ConfidentLabelsSpec,
    InfluenceSpec,
    LabelsSpec,
    RelativeErrorSpec,
    StableLabelsSpec,
    UntilSpec,
    least_error_pairs,
)
from graftscope.server.rpc._checks import smoothing
from graftscope.server.rpc._versions import method
from graftscope.v1 import analysis_service_pb2

_DEFAULT_K = 3


class _Grouping(TypedDict):
    k: int
    method: str
    seed: int
    window: int
    percentile: float


def until(message: analysis_service_pb2.StoppingRule) -> UntilSpec | None:
    """The rule of a request, with defaults filled in; None where there is none.

    Raises:
        Unsupported: the method is of a later version.
    """
    match message.WhichOneof("rule"):
        case "relative_standard_error":
            error = message.relative_standard_error
            return RelativeErrorSpec(error, version=1 if message.together else 2)
        case "stable_labels":
            return StableLabelsSpec(**_grouping(message.stable_labels))
        case "confident_labels":
            labels = message.confident_labels
            return ConfidentLabelsSpec(
                labels.probability, **_grouping(labels), together=message.together
            )
        case None:
            return None


def _grouping(
    labels: analysis_service_pb2.StableLabels | analysis_service_pb2.ConfidentLabels,
) -> _Grouping:
    """How modules are found, with defaults filled in."""
    return {
        "k": labels.k or _DEFAULT_K,
        "method": method(labels.method),
        "seed": labels.seed,
        **smoothing(labels),
    }


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
            _check_labels(spec, spec.until, "stable")
            _check_pairs(spec, LEAST_STABLE_PAIRS, "pairs", "stable labels")
        case ConfidentLabelsSpec(probability=probability):
            low = LEAST_LABEL_PROBABILITY
            if not low < probability < 1:
                raise InvalidInput(
                    f"until: a label's probability of {probability} is not allowed; more than "
                    f"{low} and less than 1 is",
                    field="until.confident_labels.probability",
                )
            _check_labels(spec, spec.until, "confident")
            _check_pairs(spec, LEAST_CONFIDENT_PAIRS, "pairs", "the probability of labels")


def _check_pairs(spec: InfluenceSpec, least: int, pairs: str, what: str) -> None:
    if spec.pairs < least:
        raise InvalidInput(
            f"until: {what} can be told from {least} {pairs} on, and at most {spec.pairs} are "
            "asked for",
            field="pairs.count",
        )


def _check_labels(spec: InfluenceSpec, labels: LabelsSpec, which: str) -> None:
    field = f"until.{labels.rule}"
    if spec.subject not in ("channels", "layers"):
        raise InvalidInput(
            f"until: {which} labels are modules of channels, and maps of {spec.subject} are asked "
            "for; use a relative standard error",
            field=field,
        )
    fewest = min(len(rows) for rows in spec.rows)
    if fewest < 2:
        raise InvalidInput(
            f"until: a rule about labels needs at least 2 channels, and k at most as many as there "
            f"are; maps of {fewest} are asked for: ask for more channels, or use a relative "
            "standard error",
            field=field,
        )
    if not 2 <= labels.k <= fewest:
        raise InvalidInput(
            f"until: k is {labels.k}; 2 to {fewest} is allowed: with one module there is nothing "
            "to be sure of, and more than the channels whose maps are asked for there cannot be",
            field=f"{field}.k",
        )
    needs_products = Method(labels.method).needs_products
    if needs_products and not spec.products:
        raise InvalidInput(
            f"until: method {labels.method} needs products of the channels' effects; ask for "
            "`products` too",
            field=f"{field}.method",
        )
    require_smoothing(labels.window, labels.percentile, spec.map_size)
