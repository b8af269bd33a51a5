"""Modules as cards: of a result, and of a job that goes on."""

import math

import numpy as np
from numpy.typing import NDArray

from graftscope.client.comparing import Comparison
from graftscope.client.display._cards import Card, Table, Tile
from graftscope.client.display._numbers import percent
from graftscope.client.display._provenance import provenance_of
from graftscope.client.display._tiles import template_tile
from graftscope.client.values import SURE, LayerModules, Module, ModulesResult, ModulesSoFar
from graftscope.client.words import counted, number

_BETWEEN = 4
_LISTED = 12

_TEMPLATES_ARE = "Where each module acts: its template, coloured to its own maximum."


def modules_card(value: ModulesResult) -> Card:
    """Show modules."""
    notes = []
    if value.seeds:
        notes.append(
            f"{value.seeds_agreeing} of {counted(len(value.seeds), 'seed')} agree in at least 90% "
            "of the channels."
        )
    nowhere = int((value.labels < 0).sum())
    if nowhere:
        impure = f", {value.impure} of them less pure than was asked for" if value.impure else ""
        notes.append(f"{counted(nowhere, 'channel')} in no module{impure}.")
    return Card(
        title=counted(value.k, "module") + (" (partial)" if value.is_partial else ""),
        of=f"of {counted(len(value.labels), 'channel')}",
        tiles=_templates(value),
        tiles_are=_TEMPLATES_ARE,
        tables=[_table(value)],
        notes=[*notes, *_unsure(value)],
        origin=provenance_of(value),
    )


def module_card(value: Module) -> Card:
    """Show one module."""
    notes = []
    if np.isfinite(value.influence_share):
        error = value.influence_stderr / value.range_width
        notes.append(
            f"Mean individual influence of its channels: {value.influence_share:.2%} ± {error:.2%} "
            "of the image's range."
        )
    known = np.isfinite(value.confidence)
    if known.any():
        sure = int((value.confidence >= SURE).sum())
        notes.append(f"{sure} of {counted(int(known.sum()), 'channel')} sure (≥ {SURE:.0%}).")
    return Card(
        title=f"Module {value.index}",
        of=counted(value.size, "channel"),
        tiles=[
            template_tile(
                value.template,
                value.index,
                f"module {value.index}",
                f"Template of module {value.index}",
            )
        ],
        tiles_are="Where it acts: its template, coloured to its own maximum.",
        tables=[Table("Its channels", ["which"], [[_which(np.array(value.channels, np.int64))]])],
        notes=notes,
        origin=provenance_of(value),
    )


def layer_modules_card(value: LayerModules) -> Card:
    """Show a layer's modules in a job that goes on."""
    return Card(
        title=f"{counted(value.k, 'module')} so far",
        of=f"of {counted(len(value.labels), 'channel')}, by {value.method.value}",
        tiles=_templates(value),
        tiles_are=_TEMPLATES_ARE,
        tables=[_table(value)],
        notes=_unsure(value),
    )


def modules_so_far_card(value: ModulesSoFar) -> Card:
    """Show modules of a job that goes on."""
    tiles = [tile for name, each in value.layers.items() for tile in _templates(each, f"{name} · ")]
    sure = f", {value.sure} of {value.labelled} labels sure" if value.labelled else ""
    return Card(
        title="Modules so far",
        of=f"{counted(value.pairs, 'pair')}{sure}",
        tiles=tiles,
        tiles_are=_TEMPLATES_ARE if tiles else "",
        notes=[value.skipped] if value.skipped else [],
    )


def comparison_card(value: Comparison) -> Card:
    """Show how modules of two layers or models go together."""
    numbers = (value.cosine, value.correlation, value.overlap)
    rows = [
        [f"A {a}, B {b}", *(number(float(each[at])) for each in numbers)]
        for at, (a, b) in enumerate(value.pairs.tolist())
    ]
    notes = [
        f"Without a partner: {letter}'s {counted(len(alone), 'module')} "
        f"{', '.join(map(str, alone[:_LISTED]))}."
        for letter, alone in (("A", value.only_a), ("B", value.only_b))
        if alone
    ]
    if np.isfinite(value.agreement):
        notes.append(
            f"{value.agreement:.0%} of the channels are in modules that are a pair; adjusted Rand "
            f"{value.adjusted_rand:.2f} (1: the same groups, 0: as by chance)."
        )
    tiles = [
        template_tile(
            templates[index],
            place,
            f"{letter} {index}",
            f"Template of module {index} of {letter}",
        )
        for place, (a, b) in enumerate(value.pairs.tolist())
        for letter, index, templates in (("A", a, value.templates_a), ("B", b, value.templates_b))
    ]
    heads = ["pair", "cosine", "correlation", "overlap"]
    return Card(
        title=counted(len(value.pairs), "pair"),
        of="of modules that act in the same places",
        tiles=tiles,
        tiles_are="Both templates of each pair, coloured to their own maximum." if tiles else "",
        tables=[Table("Pairs, the most alike first", heads, rows)],
        notes=notes,
        origin=provenance_of(value),
    )


def _templates(value: ModulesResult | LayerModules, before: str = "") -> list[Tile]:
    return [
        template_tile(
            template,
            module,
            f"{before}module {module}\n{counted(int((value.labels == module).sum()), 'channel')}",
            f"Template of module {module}",
        )
        for module, template in enumerate(value.templates)
    ]


def _table(value: ModulesResult | LayerModules) -> Table:
    known = not value.confidence_unknown
    sure = [f"sure (≥ {SURE:.0%})"] if known else []
    rows = [_row(value, module, known) for module in range(value.k)]
    amounts, caption = [], "Modules; purity from 0 to 1"
    if isinstance(value, ModulesResult) and math.isfinite(value.range_width):
        amounts = ["influence, % of range"]
        caption += "; influence: mean of the channels' own ± standard error"
        for row, each in zip(rows, value, strict=True):
            error = each.influence_stderr / each.range_width
            row.insert(2, percent(each.influence_share, error))
    heads = ["module", "channels", *amounts, "mean purity", *sure, "which"]
    return Table(caption, heads, rows)


def _row(value: ModulesResult | LayerModules, module: int, known: bool) -> list[str]:
    members = value.labels == module
    purity = value.purity[members]
    mean = float(np.nanmean(purity)) if np.isfinite(purity).any() else np.nan
    # A comparison with NaN is false.
    certain = [str(int((value.confidence[members] >= SURE).sum()))] if known else []
    return [
        str(module),
        str(int(members.sum())),
        number(mean),
        *certain,
        _which(value.channel_numbers[members]),
    ]


def _which(numbers: NDArray[np.integer]) -> str:
    channels = sorted(numbers.tolist())
    more = f", … {len(channels) - _LISTED} more" if len(channels) > _LISTED else ""
    return ", ".join(map(str, channels[:_LISTED])) + more


def _unsure(value: ModulesResult | LayerModules) -> list[str]:
    if value.confidence_unknown:
        return [f"How sure the labels are is not known: {value.confidence_unknown}"]
    found = value.between()
    if not found:
        return ["No channel is between two modules."]
    more = f"; and {len(found) - _BETWEEN} more" if len(found) > _BETWEEN else ""
    return [f"{'; '.join(map(str, found[:_BETWEEN]))}{more}."]
