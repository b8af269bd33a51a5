"""The verb modules."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from graftscope.client.cli._documents import document_of
from graftscope.client.cli._following import compute, tell_dry_run
from graftscope.client.cli._hooks import (
    AsOption,
    StoredOption,
    check_alone,
    check_form,
    hooked_place,
    members_of,
    stored_members,
    tell_torch,
)
from graftscope.client.cli._maps import (
    Computed,
    MapsOptions,
    check_k,
    computed_maps,
    given_maps,
    wanted_maps,
)
from graftscope.client.cli._model_and_layer import chosen_model
from graftscope.client.cli._output import counted, note, say, say_json, table, written
from graftscope.client.cli._request_options import Given
from graftscope.client.cli._session import check_target, opened
from graftscope.client.cli._shared_options import (
    DryRunOption,
    JsonOption,
    ModelOptions,
    NpzOption,
    SeedOption,
    ServerOptions,
)
from graftscope.client.values import SURE, FloatArray, ModulesResult, ModulesTask, StableLabels


def modules(
    server: ServerOptions,
    which: ModelOptions,
    chosen: MapsOptions,
    computed: Computed,
    asked: Given[ModulesTask],
    seed: SeedOption = None,
    stored: StoredOption = None,
    form: AsOption = None,
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Find modules: groups of channels that change the same part of the image.

    --as torch prints them as code for PyTorch; with --modules, it prints stored ones instead.
    """
    check_target(out, ".npz")
    check_form(form, stored)
    if stored is not None:
        check_alone(chosen.maps, out, dry_run)
        with opened(server) as client:
            model, at = hooked_place(client, which.model, chosen.layer, stored)
        tell_torch(model, at, stored_members(stored, at), json)
        return
    method, asked = asked["method"], asked.unless_said(seeds=None if seed is None else (seed,))
    given = given_maps(chosen, which.model, [method], dry_run, computed)
    with opened(server) as client:
        hooked = form and hooked_place(client, which.model, chosen.layer, chosen.maps)
        if given is None:
            model = chosen_model(client, which.model)
            watched = partial(
                StableLabels,
                asked["k"],
                method,
                asked["seeds"][0],
                asked["window"],
                asked["percentile"],
            )
            drawn = computed.unless_said(seed=seed)
            wanted = wanted_maps(model, chosen, drawn, [method], watched)
            check_k(asked["k"], model, wanted.layer)
            if dry_run:
                tell_dry_run(client, [wanted], json)
                return
            given = computed_maps(client, wanted)
        task = asked(maps=given.maps, products=given.products, groups=given.groups)
        found = cast(ModulesResult, compute(client, task))
        result = replace(found, source=given.source)
    if out:
        result.save(out)
    if hooked:
        tell_torch(*hooked, members_of(result.labels), json)
    elif json:
        say_json({**document_of(result), "out": out})
    else:
        _tell(result, out)


def _tell(result: ModulesResult, out: Path | None) -> None:
    of = "" if result.source is None else f" of {result.source}"
    say(f"{counted(len(result.templates), 'module')}{of} by {result.method}{written(out)}")
    rows = [
        (
            module,
            len(result.members(module)),
            _mean(result.purity, result, module),
            _mean(result.confidence, result, module),
            _listed(result, module),
        )
        for module in range(len(result.templates))
    ]
    say(table(("module", "channels", "mean purity", "confidence", "which"), rows))
    _tell_left_out(result)
    _tell_confidence(result)
    if len(result.seeds) > 1 and result.method is not None and not result.method.is_drawn:
        note(f"{result.method} draws no random numbers: all seeds give the same result")
    elif len(result.seeds) > 1:
        say(f"{result.seeds_agreeing} of {len(result.seeds)} seeds agree with the first")


def _tell_left_out(result: ModulesResult) -> None:
    """Say which channels are in no module, and why."""
    left_out = result.labels == -1
    flat = left_out & np.isnan(result.purity)
    for channels, what in ((flat, "flat map"), (left_out & ~flat, "impure channel")):
        if channels.any():
            listed = ", ".join(map(str, np.flatnonzero(channels)))
            note(f"{counted(int(channels.sum()), what)}, in no module: {listed}")


def _tell_confidence(result: ModulesResult) -> None:
    """Say how many channels are sure of their module, and which are not; or why nobody knows."""
    if result.confidence_unknown:
        note(f"how sure the channels' modules are is not known: {result.confidence_unknown}")
        return
    known, sure = ((result.confidence >= least).sum() for least in (0, SURE))
    say(
        f"{sure} of {counted(int(known), 'channel')} would be in the same module with other pairs,"
        f" with probability {SURE:g} or more"
    )
    for each in result.between():
        say(str(each))


def _mean(values: FloatArray, result: ModulesResult, module: int) -> str:
    """The mean over a module's channels that have a value."""
    found = values[result.labels == module]
    found = found[~np.isnan(found)]
    return f"{found.mean():.2f}" if len(found) else "-"


def _listed(result: ModulesResult, module: int) -> str:
    return " ".join(map(str, result.members(module))) or "-"
