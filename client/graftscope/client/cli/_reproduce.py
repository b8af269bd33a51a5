"""The verb that computes the paper's experiments: reproduce."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graftscope.client._client import Client
from graftscope.client.arrays import prepare_folder
from graftscope.client.cli._following import compute
from graftscope.client.cli._output import note, open_page, say, say_json, table
from graftscope.client.cli._report import require_report
from graftscope.client.cli._request_options import completing
from graftscope.client.cli._session import opened
from graftscope.client.cli._shared_options import JsonOption, OpenOption, ServerOptions
from graftscope.client.errors import InputError
from graftscope.client.version import client_version

if TYPE_CHECKING:
    from graftscope.client.reproduce import Reproduction, Study

ALL = "all"
NAMES = ("table1", "fig2b", "fig3", "fig5", "fig6", "fig7", "fig8", "originals", "sensitivity")
"""The paper's experiments, as in `graftscope.client.reproduce`, which is slow to import."""

WORTH = "worth"
"""What the paper defines and leaves unmeasured; it takes as long as all the others."""

DEFAULT_FOLDER = Path("graftscope-reproduction")

TOO_FEW = "too few pairs to tell"
"""The verdict on what the pairs cannot decide, as in `graftscope.client.reproduce`."""


def reproduce(
    what: Annotated[
        str,
        typer.Argument(
            metavar="|".join([*NAMES, ALL, WORTH]),
            help="The paper's table or figure; originals and sensitivity show how much results "
            "depend on what the paper leaves open. worth, which is not in all, measures what "
            "modules are worth.",
            show_default=False,
            autocompletion=completing((*NAMES, ALL, WORTH)),
        ),
    ],
    server: ServerOptions,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="Real images as the VAEs' originals, as in the paper: a folder with "
            "celeba64.zip and cifar10.zip, or one of these; only images that were never "
            "trained on are used. Default: draw originals from a Gaussian of encodings "
            "instead; captions say so.",
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="A quick look, in a few minutes: 200 pairs instead of 1,000, too few for a "
            "verdict on most claims.",
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="S", min=0, help="Decides pairs, groupings and partitions, from 0."
        ),
    ] = 0,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="The folder to write; made if missing."),
    ] = DEFAULT_FOLDER,
    show: OpenOption = False,
    json: JsonOption = False,
) -> None:
    """Compute the paper's experiments on the generators that come with the package.

    Each experiment writes figures (PNG and PDF), its numbers (JSON), and the paper's claims with
    what was measured; index.html shows those of this command. Results are kept and used again.
    """
    names = _chosen(what)
    require_report()
    prepare_folder(out)
    with opened(server) as client:
        study = _study(client, data, seed, quick=quick)
        context = _context(study)
        found = [_run(study, name, i, len(names), context, out) for i, name in enumerate(names)]
    from graftscope.client.reproduce import write_page

    page = write_page(found, context, out)
    if json:
        say_json(_document(found, page))
    else:
        _tell(found)
        say(str(page))
    if show:
        open_page(page)


def _chosen(what: str) -> tuple[str, ...]:
    if what == ALL:
        return NAMES
    if what not in (*NAMES, WORTH):
        known = ", ".join([*NAMES, ALL, WORTH])
        raise InputError(f"{what!r} is no experiment; there are: {known}")
    return (what,)


def _study(client: Client, data: Path | None, seed: int, *, quick: bool) -> "Study":
    from graftscope.client.reproduce import QUICK, Effort, RealImages, Study

    real = None if data is None else RealImages(data)
    if real is not None:
        # Whatever is asked for: the first experiment may need none.
        real.check()
    return Study(
        client=client,
        effort=QUICK if quick else Effort(),
        compute=lambda task: compute(client, task),
        say=note,
        real=real,
        seed=seed,
    )


def _run(
    study: "Study",
    name: str,
    index: int,
    count: int,
    context: Mapping[str, object],
    out: Path,
) -> "Reproduction":
    from graftscope.client.reproduce import EXPERIMENTS, write_reproduction

    note(f"[{index + 1} of {count}] {name}")
    found = EXPERIMENTS[name](study)
    write_reproduction(found, context, out)
    return found


def _context(study: "Study") -> dict[str, object]:
    effort = study.effort
    return {
        "graftscope": client_version(),
        "pairs": effort.pairs,
        "pairs of GANs": effort.pairs_of_a_gan,
        "partitions": effort.repeats,
        "hybrids measured": effort.hybrids,
        "hybrids compared": effort.worth,
        "seed": study.seed,
        "originals of VAEs": "held-out real images" if study.real else "encoded",
        "date": datetime.now().astimezone().strftime("%Y-%m-%d"),
    }


def _document(found: "list[Reproduction]", page: Path) -> dict[str, object]:
    return {
        "page": page,
        "experiments": {
            each.name: {
                "numbers": page.parent / f"{each.name}.json",
                "figures": [page.parent / f"{picture.stem}.png" for picture in each.pictures],
                "claims": [vars(claim) for claim in each.claims],
            }
            for each in found
        },
    }


def _tell(found: "list[Reproduction]") -> None:
    rows = [(each.name, claim.claim, claim.verdict) for each in found for claim in each.claims]
    if rows:
        say(table(("experiment", "the paper", "here"), rows))
    for each in found:
        open_claims = [claim for claim in each.claims if claim.verdict == TOO_FEW]
        for words in dict.fromkeys(claim.sample for claim in open_claims if claim.sample):
            note(f"{each.name}, {TOO_FEW}: {words}")
