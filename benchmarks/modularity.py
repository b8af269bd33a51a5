"""Whether a training that asks for modules gets them, and what it pays for them.

    graftscope train vae-celeba --data DATA --out runs/0.1 --set modularity=0.1   (and others)
    python -m benchmarks.modularity runs/0 runs/0.1 --data DATA \\
        --json docs/worth/modularity.json --figure docs/images/modularity.png

Runs should differ in the term's weight alone. Each is exported, and an embedded server finds the
modules of the layer that the recipe names. Errors are standard errors over pairs, images or cuts;
none tells how far a training with another seed would go.

Overlap is the mean cosine of the influence maps of whole groups, or modules. Rand is how far the
modules are the recipe's groups, adjusted for chance. Spill is the share of a module's change that
is outside the pixels with half of its template's highest value; `outside` is the share of the
picture there. Faithful is the mean over modules of the Fréchet distance of hybrids from samples,
less that of other samples; beside it that of random sets of as many channels.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from PIL import Image

from benchmarks.machine import this_machine
from benchmarks.markdown import table
from benchmarks.modular_faithful import Estimate
from benchmarks.modular_runs import Amounts, Found, Pictures, Run, mean, measured
from benchmarks.progress import say
from graftscope.training import load_checkpoint
from graftscope.training.data import load_images
from graftscope.training.progress import ignore_progress


def of_trainings(runs: Sequence[Run]) -> str:
    """What every training paid, and whether its groups came apart."""
    heads = ["strength", "overlap", "influence of each group, %", "error", "KL", "Fréchet"]
    rows = [
        [
            f"{run.strength:g}",
            _told(run.overlap),
            ", ".join(f"{100 * x.value:.1f}" for x in run.groups),
            _told(run.error, 4),
            "-" if run.kl is None else f"{run.kl:.1f}",
            _told(run.frechet, 1),
        ]
        for run in runs
    ]
    return table(heads, rows)


def of_modules(runs: Sequence[Run]) -> str:
    """What modules each training's generator has."""
    heads = [
        *("strength", "K", "consistency", "chance", "Rand", "channels", "overlap", "spill"),
        *("outside", "influence of each module, %", "faithful", "random sets"),
    ]
    rows = [[f"{run.strength:g}", *_cells(found)] for run in runs for found in run.found]
    return table(heads, sorted(rows, key=lambda row: int(row[1])))


def _cells(found: Found) -> list[str]:
    return [
        str(found.k),
        _told(found.consistency),
        f"{found.chance:.3f}",
        f"{found.rand:.2f}",
        ", ".join(map(str, found.sizes)),
        _told(found.overlap),
        _told(found.mean_spill),
        f"{sum(found.outside) / len(found.outside):.3f}",
        ", ".join(f"{100 * x.value:.1f}" for x in found.influence),
        _told(mean(found.faithful.excess), 2),
        _told(mean(found.faithful.random), 2),
    ]


def _told(estimate: Estimate, digits: int = 3) -> str:
    return f"{estimate.value:.{digits}f} ± {estimate.stderr:.{digits}f}"


def draw(pictures: Sequence[Pictures], file: Path) -> None:
    """A row a training: templates of its modules, and what its groups change."""
    import matplotlib.pyplot as plt

    k, groups = (max(len(getattr(x, name)) for x in pictures) for name in ("templates", "groups"))
    figure, axes = plt.subplots(
        len(pictures),
        k + groups + 1,
        figsize=(1.1 * (k + groups) + 0.8, 1.15 * len(pictures) + 0.4),
        layout="constrained",
        squeeze=False,
        gridspec_kw={"width_ratios": [*[1.0] * k, 0.25, *[1.0] * groups]},
    )
    for row, each in zip(axes, pictures, strict=True):
        for cell in row:
            cell.axis("off")
        for cell, template in zip(row, each.templates, strict=False):
            cell.imshow(template, cmap="magma", vmin=0)
        for cell, changed in zip(row[k + 1 :], each.groups, strict=True):
            cell.imshow(changed, cmap="magma", vmin=0, vmax=each.groups.max())
        row[0].axis("on")
        row[0].set(xticks=[], yticks=[], ylabel=f"{each.strength:g}")
    for place, kind in ((0, "module"), (k + 1, "group")):
        for at, cell in enumerate(axes[0][place : place + (k if kind == "module" else groups)]):
            cell.set_title(f"{kind} {at}", fontsize=9)
    figure.savefig(file, dpi=110)
    plt.close(figure)
    with Image.open(file) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(file, optimize=True)


def main() -> None:
    """Measures, writes and prints."""
    given = _parser().parse_args()
    amounts = Amounts(given.pairs, given.hybrids, given.repeats, given.faithful)
    recipe = load_checkpoint(given.runs[0]).config.recipe
    held_out = load_images(given.data, recipe, ignore_progress).held_out
    results = []
    for folder in given.runs:
        say(f"{folder} ...")
        results.append(measured(folder, given.bundles, held_out, amounts))
    results.sort(key=lambda each: each[0].strength)
    runs, pictures = [run for run, _ in results], [shown for _, shown in results]
    if given.json:
        document = {
            "machine": asdict(this_machine()),
            "amounts": asdict(amounts),
            "held_out": len(held_out),
            "runs": [asdict(run) for run in runs],
        }
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(document, indent=1) + "\n")
    if given.figure:
        draw(pictures, given.figure)
    print(f"{of_trainings(runs)}\n\n{of_modules(runs)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.modularity", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("runs", nargs="+", type=Path, help="checkpoints of vae-celeba")
    parser.add_argument("--data", required=True, help="the images that they were trained on")
    parser.add_argument("--bundles", type=Path, default=Path("build/modularity"))
    parser.add_argument("--pairs", type=int, default=1000, help="behind influence maps")
    parser.add_argument("--hybrids", type=int, default=500, help="of each module")
    parser.add_argument("--repeats", type=int, default=20, help="cuts of the channels")
    parser.add_argument("--faithful", type=int, default=500, help="of each set of hybrids")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--figure", type=Path, help="where templates are drawn")
    return parser


if __name__ == "__main__":
    main()
