"""Whether a classifier that is trained on hybrids minds the background less.

    python -m benchmarks.background --data DATA --json docs/worth/background.json

DATA has celeba64.zip and list_attr_celeba.txt. An attribute of faces is learned by the same small
network in the same number of steps, once from photographs as the face VAE reconstructs them, and
once with every other image a hybrid: the same face with a module of another photograph that lies
away from what the attribute is about. The label stays. Then both are probed with hybrids of
photographs that none of them has seen: how often does the prediction stay when that module is
swapped?
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.machine import this_machine
from benchmarks.markdown import table
from benchmarks.progress import say
from graftscope.client import (
    Client,
    ImageNetwork,
    ImagePairs,
    ModulesResult,
    Preprocessing,
    ProbeResult,
    rectangle_region,
)
from graftscope.client.finding import region_at
from graftscope.client.pictures import read_images
from graftscope.server.analysis import wilson_interval
from graftscope.training.quality._features import FeatureNetwork

MODEL = "vae-celeba"
BATCH = 32
PAIRS_A_CALL = 64

Pixels = NDArray[np.uint8]
"""(B, H, W, 3)."""


@dataclass(frozen=True)
class Faces:
    """Photographs of a model's size, and which of them have the attribute.

    Attributes:
        images: (B, H, W, 3).
        has: (B,) booleans.
    """

    images: Pixels
    has: NDArray[np.bool_]

    def part(self, start: int, stop: int) -> "Faces":
        """Some of them."""
        return Faces(self.images[start:stop], self.has[start:stop])


def read_faces(data: Path, attribute: str, count: int, client: Client) -> Faces:
    """The first photographs of the archive that have a label."""
    _, names, *lines = (data / "list_attr_celeba.txt").read_text().splitlines()
    column = names.split().index(attribute) + 1
    rows = [row.split() for row in lines]
    labels = {row[0]: row[column] == "1" for row in rows[:count]}
    archive, image = data / "celeba64.zip", client.model(MODEL).image
    read = read_images(archive, image, lambda name: Path(name).name in labels)
    if len(read.images) != len(labels):
        raise SystemExit(f"{archive} has {len(read.images)} of {len(labels)} labelled images")
    return Faces(read.images, np.array([labels[name] for name in sorted(labels)]))


def swapped_module(modules: ModulesResult, region: NDArray[np.float64]) -> tuple[int, list[float]]:
    """The module that lies least inside a region, and how much of each one's template does."""
    inside = region_at(region, *modules.templates.shape[1:])
    shares = [float((x * inside).sum() / x.sum()) for x in modules.templates]
    return int(np.argmin(shares)), shares


def reconstructed(
    client: Client, layer: str, modules: ModulesResult, module: int, faces: Faces, seed: int
) -> tuple[Pixels, Pixels]:
    """Faces as the VAE draws them, and with a module of another of them."""
    others = np.random.default_rng([seed, 1]).permutation(len(faces.images))
    first, mixed = [], []
    image = client.model(MODEL).image
    for start in range(0, len(faces.images), PAIRS_A_CALL):
        rows = slice(start, start + PAIRS_A_CALL)
        pairs = ImagePairs(faces.images[rows], faces.images[others[rows]])
        made = client.hybridize(MODEL, layer, labels=modules.labels, module=module, originals=pairs)
        first.append(to_pixels(made.original1, image.low, image.high))
        mixed.append(to_pixels(made.hybrid, image.low, image.high))
    return np.concatenate(first), np.concatenate(mixed)


def to_pixels(images: NDArray[np.float32], low: float, high: float) -> Pixels:
    """(B, 3, H, W) in a range to bytes."""
    unit = np.clip((images - low) / (high - low), 0, 1)
    made: Pixels = np.rint(255 * unit).astype(np.uint8).transpose(0, 2, 3, 1)
    return made


def to_input(images: Pixels) -> Tensor:
    """Bytes to what the network takes: (B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def learned(
    images: Pixels, other: Pixels, has: NDArray[np.bool_], steps: int, seed: int
) -> FeatureNetwork:
    """A network that was trained on batches of which half are `images` and half `other`.

    Args:
        images: (B, H, W, 3).
        other: the same faces, in the same order; the same images for a training without hybrids.
        has: (B,) the label of each.
        steps: how many batches.
        seed: of weights and batches, and of nothing else.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng([seed, 2])
    network = FeatureNetwork(images.shape[1], 1)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    loss = nn.BCEWithLogitsLoss()
    labels = torch.from_numpy(has).float()
    for _ in range(steps):
        rows = random.choice(len(images), BATCH, replace=False)
        half = BATCH // 2
        batch = np.concatenate([images[rows[:half]], other[rows[half:]]])
        if random.random() < 0.5:
            batch = batch[:, :, ::-1].copy()
        optimiser.zero_grad()
        loss(network(to_input(batch))[:, 0], labels[rows]).backward()
        optimiser.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def accuracy(network: FeatureNetwork, faces: Faces) -> float:
    """The share of faces of which it tells rightly whether they have the attribute."""
    parts = [
        network(to_input(faces.images[start : start + 256]))[:, 0].numpy() > 0
        for start in range(0, len(faces.images), 256)
    ]
    return float((np.concatenate(parts) == faces.has).mean())


def as_file(network: FeatureNetwork, size: int) -> bytes:
    """The network as an ONNX file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "classifier.onnx"
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, size, size),),
            path,
            input_names=["image"],
            output_names=["scores"],
            dynamic_axes={"image": {0: "n"}, "scores": {0: "n"}},
            dynamo=False,
        )
        return path.read_bytes()


def stays(result: ProbeResult, classifier: int, module: int) -> dict[str, float]:
    """How often a prediction stays when a module is swapped, over all pairs and where it could not.

    `differ` is of pairs whose two originals are told apart.
    """
    (at,) = result.places("module", module)
    differ, same = int(result.differ[classifier]), int(result.same[classifier])
    shares = np.nan_to_num([result.stays[classifier, at], result.same_stays[classifier, at]])
    kept = float(shares @ [differ, same])  # NaN is of no pairs.
    low, high = wilson_interval(kept / (differ + same), differ + same)
    return {
        "all": kept / (differ + same),
        "all_low": float(low),
        "all_high": float(high),
        "differ": float(result.stays[classifier, at]),
        "differ_low": float(result.stays_low[classifier, at]),
        "differ_high": float(result.stays_high[classifier, at]),
        "differ_pairs": differ,
        "pairs": differ + same,
    }


def measured(options: argparse.Namespace, client: Client) -> dict[str, Any]:
    """Train, probe, and gather the numbers."""
    size = client.model(MODEL).image.height
    maps = client.influence(MODEL, options.layer, pairs=512, seed=options.module_seed)
    modules = client.modules(maps, k=options.k)
    region = rectangle_region(*options.region, image_height=size, image_width=size)
    module, shares = swapped_module(modules, region)
    say(f"module {module} is swapped; inside the region: {[round(x, 3) for x in shares]}")
    faces = read_faces(options.data, options.attribute, options.photos + options.held_out, client)
    seen = faces.part(0, options.photos)
    unseen = faces.part(options.photos, options.photos + options.held_out)
    images, mixed = reconstructed(client, options.layer, modules, module, seen, 0)
    plain, _ = reconstructed(client, options.layer, modules, module, unseen, 1)
    say(f"{len(images)} faces and as many hybrids are made")
    trained: list[tuple[int, str, FeatureNetwork]] = []
    for seed in options.seeds:
        for name, other in (("originals", images), ("hybrids", mixed)):
            begun = time.perf_counter()
            network = learned(images, other, seen.has, options.steps, seed)
            trained.append((seed, name, network))
            say(f"seed {seed}, {name}: {time.perf_counter() - begun:.0f} s")
    others = np.random.default_rng([1, 1]).permutation(len(unseen.images))
    result = client.probe(
        MODEL,
        options.layer,
        modules.labels,
        [
            ImageNetwork(
                file=as_file(network, size),
                preprocessing=Preprocessing(low=-1.0, high=1.0),
                attributes=True,
                classes=(options.attribute,),
                title=f"{name}, seed {seed}",
            )
            for seed, name, network in trained
        ],
        originals=ImagePairs(unseen.images, unseen.images[others]),
        controls=2,
    )
    return {
        "command": options.command,
        "machine": str(this_machine()),
        "model": MODEL,
        "model_digest": client.model(MODEL).digest,
        "layer": result.layer,
        "attribute": options.attribute,
        "share_with_it": float(faces.has.mean()),
        "region": list(options.region),
        "modules": [
            {"module": x.index, "channels": x.size, "share_in_region": shares[x.index]}
            for x in modules
        ],
        "swapped": module,
        "photos": options.photos,
        "held_out": options.held_out,
        "steps": options.steps,
        "batch": BATCH,
        "classifiers": [
            {
                "seed": seed,
                "trained_on": name,
                "accuracy": accuracy(network, Faces(plain, unseen.has)),
                "accuracy_photographs": accuracy(network, unseen),
                "stays": {str(x): stays(result, at, x) for x in result.modules},
                "verdict": result.verdict[at].tolist(),
                "verdict_stderr": result.verdict_stderr[at].tolist(),
            }
            for at, (seed, name, network) in enumerate(trained)
        ],
    }


def summarised(found: dict[str, Any]) -> dict[str, Any]:
    """Means over seeds, and the differences between both trainings with their standard errors."""
    rows = found["classifiers"]
    modules = [str(x["module"]) for x in found["modules"]]
    kinds: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name in ("originals", "hybrids"):
        mine = [x for x in rows if x["trained_on"] == name]
        columns = {
            "accuracy": [x["accuracy"] for x in mine],
            "accuracy_photographs": [x["accuracy_photographs"] for x in mine],
        }
        for module in modules:
            for of in ("all", "differ"):
                columns[f"stays_{module}_{of}"] = [x["stays"][module][of] for x in mine]
        kinds[name] = {key: np.array(values) for key, values in columns.items()}
    count = len(kinds["originals"]["accuracy"])
    told: dict[str, Any] = {name: {} for name in (*kinds, "gain", "gain_stderr")}
    for key in kinds["originals"]:
        gain = kinds["hybrids"][key] - kinds["originals"][key]
        for name, columns_of in kinds.items():
            told[name][key] = float(columns_of[key].mean())
        told["gain"][key] = float(gain.mean())
        spread = float(gain.std(ddof=1) / np.sqrt(count)) if count > 1 else None
        told["gain_stderr"][key] = spread
    return told


def paragraph(found: dict[str, Any]) -> str:
    """What came out, whichever way."""
    told, module = found["summary"], found["swapped"]
    key, gain, error = f"stays_{module}_differ", told["gain"], told["gain_stderr"]

    def change(name: str) -> str:
        spread = "" if error[name] is None else f" ± {100 * error[name]:.1f}"
        return f"{100 * gain[name]:+.1f}{spread}"

    return (
        f"A network that tells {found['attribute']} keeps what it says of original 1 in "
        f"{told['originals'][key]:.0%} of held-out pairs that it tells apart, when module {module} "
        f"comes from the other photograph; trained with hybrids of that module, in "
        f"{told['hybrids'][key]:.0%} ({change(key)} points over {len(found['seeds'])} seeds). Its "
        f"accuracy on held-out faces changes by {change('accuracy')} points, on photographs by "
        f"{change('accuracy_photographs')}."
    )


def tables(found: dict[str, Any]) -> str:
    """A row a network."""
    modules = [x["module"] for x in found["modules"]]
    heads = ["trained on", "seed", "accuracy, %", "on photographs, %"]
    heads += [f"stays, module {x}, %" for x in modules]
    rows = [
        [
            x["trained_on"],
            str(x["seed"]),
            f"{100 * x['accuracy']:.1f}",
            f"{100 * x['accuracy_photographs']:.1f}",
            *(_interval(x["stays"][str(module)]) for module in modules),
        ]
        for x in found["classifiers"]
    ]
    return table(heads, rows)


def _interval(of: dict[str, float]) -> str:
    low, high = (100 * of[f"differ_{end}"] for end in ("low", "high"))
    return f"{100 * of['differ']:.1f} ({low:.1f} to {high:.1f})"


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--attribute", default="Smiling")
    about = "what the attribute is about: top,left,height,width in pixels"
    parser.add_argument("--region", default="40,18,14,28", help=about)
    parser.add_argument("--layer", default="coarse")
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--module-seed", type=int, default=0)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--held-out", type=int, default=600)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args(arguments)
    options.region = tuple(map(int, options.region.split(",")))
    options.seeds = tuple(map(int, options.seeds.split(",")))
    said = [f"--{name.replace('_', '-')} {value}" for name, value in _said(options, parser)]
    options.command = " ".join(["python -m benchmarks.background --data DATA", *said])
    return options


def _said(options: argparse.Namespace, parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    found = []
    for name in ("attribute", "layer", "k", "photos", "held_out", "steps"):
        if (value := getattr(options, name)) != parser.get_default(name):
            found.append((name, str(value)))
    return found


def main() -> None:
    """Print the tables, and write the numbers."""
    options = parsed()
    torch.set_num_threads(1)
    with Client() as client:
        found = measured(options, client)
    found |= {"seeds": list(options.seeds)}
    found["summary"] = summarised(found)
    found["told"] = paragraph(found)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(tables(found))
    print(found["told"])


if __name__ == "__main__":
    main()
