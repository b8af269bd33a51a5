"""How an original is made elsewhere: commands that write its latents, and the same in Python."""

import io
import json
import shlex
from base64 import b64encode
from collections.abc import Sequence

import numpy as np

from graftscope.client import Model
from graftscope.explorer._inputs import mean_of
from graftscope.explorer._latents import encoding, truncated_inputs
from graftscope.explorer._originals import Sample
from graftscope.explorer._way import Way

_LETTERS_A_LINE = 100


def commands(sample: Sample, name: str, model: Model, way: Way) -> list[str]:
    """Say which commands write an original's latents.

    Args:
        sample: The original.
        name: Of the file that they end in, without ``.npz``.
        model: Its generator.
        way: To its server.

    Returns:
        Commands in their order.
    """
    before: list[str] = []
    fixed = _given(sample)
    for key, data in sample.encoded:
        file = f"{name}-{key}.npy"
        before.append(_here("base64 -d > " + shlex.quote(file), _letters(model, key, data)))
        fixed.append(f"{key}={file}")
    for key, seed in sample.drawn:
        file = f"{name}-{key}.npz"
        before.append(_generate(way, model, seed, ["--out", file]))
        fixed.append(f"{key}={file}")
    made = _generate(way, model, sample.seed, ["--out", f"{name}.npz"], fixed)
    return [*before, made, *_truncating(way, sample, f"{name}.npz", model)]


def picture_commands(sample: Sample, name: str, model: Model, way: Way) -> list[str]:
    """Say which commands write an original's picture into a folder of a name; as `commands`."""
    picture = ["--encoding", "png", "--out", name]
    if not (sample.encoded or sample.drawn or truncated_inputs(model, sample)):
        return [_generate(way, model, sample.seed, picture, _given(sample))]
    words = ["generate", "--latents", f"{name}.npz", *picture, "--model", model.name]
    return [*commands(sample, name, model, way), way.command(words)]


def python(sample: Sample, name: str, model: Model) -> list[str]:
    """Say which lines of Python give an original's latents.

    Args:
        sample: The original.
        name: Of the variable that holds them in the end.
        model: Its generator.

    Returns:
        Lines, which need `numpy` as ``np``, `base64` and a client.
    """
    fixed = [f"{key!r}: {value!r}" for key, value in sample.given]
    for key, data in sample.encoded:
        shape = encoding(model, key, data).shape
        letters = b64encode(data).decode()
        fixed.append(
            f"{key!r}: np.frombuffer(base64.b64decode({letters!r}), '<f4').reshape({shape})"
        )
    for key, seed in sample.drawn:
        other = f"client.generate({model.name!r}, count=1, seed={seed})"
        fixed.append(f"{key!r}: {other}.latents[{key!r}]")

    fix = f", fix={{{', '.join(fixed)}}}" if fixed else ""
    made = f"{name} = client.generate({model.name!r}, count=1, seed={sample.seed}{fix}).latents"
    pulled = truncated_inputs(model, sample)
    if not pulled:
        return [made]
    return [made, f"{name} = dict({name})", *_pulling(sample, name, model, pulled)]


def needed_imports(samples: Sequence[Sample]) -> list[str]:
    """Say what the lines of `python` import."""
    if not any(each.encoded for each in samples):
        return []
    return ["import base64", "", "import numpy as np"]


def _given(sample: Sample) -> list[str]:
    return [f"{key}={value}" for key, value in sample.given]


def _generate(
    way: Way, model: Model, seed: int, words: Sequence[str], fixed: Sequence[str] = ()
) -> str:
    fixes = [word for each in fixed for word in ("--fix", each)]
    begin = ["generate", "--seed", str(seed), "--count", "1", "--model", model.name]
    return way.command([*begin, *words, *fixes])


def _here(command: str, text: str) -> str:
    return f"{command} <<'END'\n{text}\nEND"


def _letters(model: Model, key: str, data: bytes) -> str:
    file = io.BytesIO()
    np.save(file, encoding(model, key, data))
    letters = b64encode(file.getvalue()).decode()
    lines = range(0, len(letters), _LETTERS_A_LINE)
    return "\n".join(letters[at : at + _LETTERS_A_LINE] for at in lines)


def _truncating(way: Way, sample: Sample, file: str, model: Model) -> list[str]:
    pulled = truncated_inputs(model, sample)
    if not pulled:
        return []
    lines = [
        "import numpy as np",
        f"latents = dict(np.load({json.dumps(file)}))",
        *_pulling(sample, "latents", model, pulled),
        f"np.savez({json.dumps(file)}, **latents)",
    ]
    return [_here(f"{shlex.quote(way.python)} -", "\n".join(lines))]


def _pulling(sample: Sample, name: str, model: Model, pulled: Sequence[str]) -> list[str]:
    lines = []
    for key in pulled:
        value, mean = f"{name}[{key!r}]", mean_of(model, key)
        lines.append(f"{value} = {mean!r} + {sample.truncation!r} * ({value} - {mean!r})")
    return lines
