"""Jobs, and what they have found so far, as cards."""

from dataclasses import replace

from graftscope.client.display._advance import reached
from graftscope.client.display._cards import Card
from graftscope.client.display._of_influence import (
    influence_card,
    influence_tiles,
    layers_card,
    small_maps_card,
)
from graftscope.client.display._of_modules import modules_card, modules_so_far_card
from graftscope.client.display._provenance import versioned
from graftscope.client.values import Job, JobState, LayersResult, PartialResult, SoFar
from graftscope.client.words import counted, duration, when

_MAPS = 12


def job_card(value: Job) -> Card:
    """Show how far a job is."""
    state = value.progress.state
    told = {
        "model": versioned(value.model, value.model_digest),
        "layer": value.layer,
        "so far": reached(value),
        "stops when": "" if value.until is None else str(value.until),
        "asked for": when(value.created),
        "ended": when(value.ended) if value.ended else "",
        "time to go": _left(value),
        "why": value.error,
        "owner": value.owner,
        "kept until": when(value.expires) if value.expires else "",
    }
    return Card(
        title=f"Job: {value.kind.value}, {state.value}",
        of=value.name,
        notes=[_next(value, state)] if value.name else [],
        origin={name: words for name, words in told.items() if words},
    )


def _left(value: Job) -> str:
    if value.done or value.progress.eta_s is None:
        return ""
    return duration(value.progress.eta_s)


def _next(value: Job, state: JobState) -> str:
    """Say what one does with it."""
    short = value.name.removeprefix("operations/")[:8]
    match state:
        case JobState.DONE:
            return f'client.result("{short}") reads what came of it.'
        case JobState.FAILED | JobState.CANCELLED:
            return "The same request begins again, or goes on from what is kept."
        case _:
            return f'client.wait("{short}") follows it, client.cancel("{short}") ends it.'


def partial_card(value: PartialResult) -> Card:
    """Show what a job has come to."""
    whole = value.influence
    card = layers_card(whole) if isinstance(whole, LayersResult) else influence_card(whole)
    found = [modules_card(each) for each in value.modules.values()]
    known = [f"Modules in the maps of {counted(value.modules_pairs, 'pair')}."] if found else []
    kept = ["This is what was kept last."] if value.from_checkpoint else []
    templates = [tile for each in found for tile in each.tiles]
    maps = card.tiles if isinstance(whole, LayersResult) else influence_tiles(whole, _MAPS)
    return replace(
        card,
        title="So far" if value.is_partial else "In all",
        of=f"{counted(value.pairs, 'pair')} of {counted(value.job.pairs, 'pair')}",
        tiles=[*templates, *maps],
        tiles_of=None,
        tables=[*(table for each in found for table in each.tables), *card.tables],
        notes=[*known, *kept, *([value.skipped] if value.skipped else [])],
    )


def so_far_card(value: SoFar) -> Card:
    """Show what a watch has told."""
    modules, maps = value.modules, value.maps
    found = [] if modules is None else [modules_so_far_card(modules)]
    found += [] if maps is None else [small_maps_card(maps)]
    if not found:
        return Card("So far", "nothing yet")
    return replace(
        found[-1],
        title="So far",
        tiles=[tile for each in found for tile in each.tiles],
        tiles_of=None,
        notes=[note for each in found for note in each.notes],
    )
