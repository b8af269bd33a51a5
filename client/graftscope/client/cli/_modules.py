"""The verb modules."""

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
    stored_members,
    tell_torch,
)
from graftscope.client.cli._maps import (
    ComputedUntilSure,
    MapsOptions,
    check_k,
    computed_maps,
    given_maps,
    wanted_maps,
)
from graftscope.client.cli._model_and_layer import chosen_model
from graftscope.client.cli._output import note, say, say_json, table, written
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
from graftscope.client.cli._usual_pairs import modules_of
from graftscope.client.errors import UsageError
from graftscope.client.values import SURE, FloatArray, IntArray, ModulesResult, ModulesTask
from graftscope.client.words import counted


def modules(
    server: ServerOptions,
    which: ModelOptions,
    chosen: MapsOptions,
    computed: ComputedUntilSure,
    asked: Given[ModulesTask],
    seed: SeedOption = None,
    stored: StoredOption = None,
    form: AsOption = None,
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Find modules: groups of channels that change the same part of the image.

    With --modules, prints those in a file instead. --as torch prints them as code for PyTorch.
    """
    check_target(out, ".npz")
    check_form(form)
    if stored is not None:
        check_alone(chosen.maps, out, dry_run, [*asked.options(), *computed.options()])
        if form is None:
            _tell_stored(stored, which.model or chosen.layer, json)
            return
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
            drawn = computed.unless_said(seed=seed)
            wanted = wanted_maps(model, chosen, drawn, [method], grouping=asked)
            check_k(asked["k"], model, wanted.layer)
            if dry_run:
                tell_dry_run(client, [wanted], json)
                return
            given = computed_maps(client, wanted, modules_of(asked))
        task = asked(maps=given.maps, products=given.products, groups=given.groups)
        found = cast(ModulesResult, compute(client, task))
        result = found.of_maps(given.of)
    if out:
        result.save(out)
    if hooked:
        tell_torch(*hooked, {each.index: each.channels for each in result}, json)
        return
    _tell(result, out, json, given.pairs_of)


def _tell_stored(path: Path, place: str | None, json: bool) -> None:
    """Tell what was found before.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If it holds something else.
        UsageError: If a model or a layer is named, which the file does.
    """
    if place is not None:
        raise UsageError(f"{path} says its model and layer: leave out --model, --layer")
    _tell(ModulesResult.load(path), None, json)


def _tell(
    result: ModulesResult, out: Path | None, json: bool, pairs_of: IntArray | None = None
) -> None:
    if json:
        say_json({**document_of(result), "pairs_of": pairs_of, "out": out})
        return
    of = "" if result.source is None else f" of {result.source}"
    by = "" if result.method is None else f" by {result.method}"
    say(f"{counted(len(result.templates), 'module')}{of}{by}{written(out)}")
    rows = [
        (
            each.index,
            each.size,
            _mean(result.purity, result, each.index),
            _mean(result.confidence, result, each.index),
            " ".join(map(str, each.channels)) or "-",
        )
        for each in result
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
            listed = ", ".join(map(str, result.channel_numbers[channels]))
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
