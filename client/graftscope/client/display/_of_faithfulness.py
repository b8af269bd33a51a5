"""Whether modules' hybrids look like samples, as a card."""

from collections.abc import Iterator

from graftscope.client.display._cards import Card, Table
from graftscope.client.display._numbers import short
from graftscope.client.display._provenance import provenance_of
from graftscope.client.values import (
    FAITHFULNESS_COLUMNS,
    FaithfulnessResult,
    FaithfulnessRow,
    rows_beside,
    rows_of_modules,
    told_reference,
    told_verdicts,
)


def faithfulness_card(value: FaithfulnessResult) -> Card:
    """Show how far hybrids are from samples, between floor and ceilings."""
    return Card(
        title="Faithfulness",
        of="whether modules' hybrids look like samples",
        tables=[*_against(value), *_responses(value)],
        notes=[*told_verdicts(value), *([value.warning] if value.warning else [])],
        origin=provenance_of(value),
    )


def _against(value: FaithfulnessResult) -> Iterator[Table]:
    heads = ["images", "channels", *(f"{each} ± se" for each in FAITHFULNESS_COLUMNS)]
    for place, name in enumerate(value.references):
        reference = told_reference(name)
        of_modules = [_cells(x) for x in rows_of_modules(value, place)]
        beside = [_cells(x) for x in rows_beside(value, place)]
        if place == 0:
            yield Table("Floor and ceilings: what may be, and what cannot be right", heads, beside)
        yield Table(f"Hybrids against {reference}", heads, of_modules)


def _responses(value: FaithfulnessResult) -> Iterator[Table]:
    if value.response is None or value.response_stderr is None:
        return
    rows = [
        [f"module {module}", *(short(*x) for x in zip(shares, errors, strict=True))]
        for module, shares, errors in zip(
            value.modules, value.response, value.response_stderr, strict=True
        )
    ]
    caption = "Share of a module's squared change of the encoder's latents along another's"
    yield Table(caption, ["of", *(f"along module {x}" for x in value.modules)], rows)


def _cells(row: FaithfulnessRow) -> list[str]:
    return [row.name, str(row.channels or ""), *(short(*x) for x in row.numbers)]
