"""The verb stability."""

from dataclasses import replace
from pathlib import Path
from typing import cast

from graftscope.client.cli._documents import document_of
from graftscope.client.cli._following import compute, tell_dry_run
from graftscope.client.cli._maps import (
    Computed,
    MapsOptions,
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
from graftscope.client.errors import InputError
from graftscope.client.models import Layer
from graftscope.client.values import StabilityResult, StabilityTask
from graftscope.client.words import counted, number, with_spread


def stability(
    server: ServerOptions,
    which: ModelOptions,
    chosen: MapsOptions,
    computed: Computed,
    asked: Given[StabilityTask],
    seed: SeedOption = None,
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Find out how much modules depend on the channels that they are found in, and suggest a K.

    The channels are divided at random into three thirds, and modules are found in two runs. Each
    sees two of the thirds, and both see one. Consistency is the share of that third's channels
    that both runs put into the same module; chance is the consistency of permuted labels; cosine
    says how similar the runs' templates are, 1 if equal. The suggested K is the one with the
    largest excess of consistency over chance.
    """
    check_target(out, ".npz")
    methods, asked = asked["methods"], asked.unless_said(seed=seed)
    given = given_maps(chosen, which.model, methods, dry_run, computed)
    with opened(server) as client:
        if given is None:
            model = chosen_model(client, which.model)
            watched = {name: asked[name] for name in ("window", "percentile")}
            drawn = computed.unless_said(seed=seed)
            wanted = wanted_maps(model, chosen, drawn, methods, watched)
            _check_ks(asked["ks"], model.layer(wanted.layer))
            if dry_run:
                tell_dry_run(client, [wanted], json)
                return
            given = computed_maps(client, wanted)
        task = asked(maps=given.maps, products=given.products)
        found = cast(StabilityResult, compute(client, task))
        result = replace(found, source=given.of.source)
    if out:
        result.save(out)
    if json:
        say_json({**document_of(result), "out": out})
    else:
        _tell(result, out)


def _check_ks(ks: tuple[int, ...] | None, layer: Layer) -> None:
    most = layer.channels - -(-layer.channels // 3)
    if ks and max(ks) > most:
        raise InputError(
            f"--k {max(ks)} is more than the {most} of {layer.channels} channels that a run sees",
            field="k",
        )


def _tell(result: StabilityResult, out: Path | None) -> None:
    of = "" if result.source is None else f" of {result.source}"
    repeats = result.consistency.shape[2]
    say(f"{counted(result.channels, 'channel')}{of}, {counted(repeats, 'repeat')}{written(out)}")
    columns = [
        f"{method} {what}"
        for method in result.methods
        for what in ("consistency", "cosine", "chance")
    ]
    say(table(("K", *columns), [_row(result, at) for at in range(len(result.k))]))
    for each in result.suggested:
        say(f"{each.method}: {each.reason}")
    _tell_unsettled(result)


def _row(result: StabilityResult, at: int) -> tuple[str, ...]:
    cells = [str(result.k[at])]
    for method in range(len(result.methods)):
        here = (method, at)
        cells += [
            with_spread(result.consistency_mean[here], result.consistency_sd[here]),
            with_spread(result.cosine_mean[here], result.cosine_sd[here]),
            number(result.chance[here]),
        ]
    return tuple(cells)


def _tell_unsettled(result: StabilityResult) -> None:
    """Say which means lack repeats."""
    repeats = result.consistency.shape[2]
    for row, method in enumerate(result.methods):
        for k, settled in zip(result.k, result.settled[row], strict=True):
            if settled < repeats:
                note(
                    f"{method}, K = {k}: {repeats - settled} of {repeats} repeats did not converge"
                )
