"""A generator as a chain in the terminal: its inputs, every layer with its cost, the image.

It must not know where a model comes from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from graftscope.client.hooks import torch_place
from graftscope.client.models import ImageFormat, Input, Layer, LayerKind, Model, TorchHook
from graftscope.client.words import rounded

_GAP = "  "
_HEADS = ("up", "down", "up", "down")
_LEAST_NAME = 8
_GROUPS = (("parameters", 0, 2), ("MFLOP", 2, 4))


@dataclass(frozen=True)
class Glyphs:
    """What a chain is drawn with."""

    input: str
    layer: str
    line: str
    end: str
    more: str


DRAWN = Glyphs(input="○", layer="●", line="│", end="▼", more="…")
PLAIN = Glyphs(input="o", layer="*", line="|", end="v", more="~")
"""For terminals and pipes that know ASCII alone."""


def draw_chain(
    model: Model, width: int, glyphs: Glyphs = DRAWN, *, carried: bool = True
) -> Iterator[Text]:
    """Draw a generator from its inputs to its image.

    Args:
        model: Which.
        width: Columns of the terminal; names give way where they do not fit.
        glyphs: What to draw with.
        carried: Whether to list what crosses each cut beside the activation, and where PyTorch
            computes it, if that is known.

    Yields:
        Lines, none wider than `width` unless it is less than about 60.
    """
    pen = _Pen(model, width, glyphs)
    yield from pen.heads()
    for each in model.inputs:
        yield pen.input(each)
    yield pen.line()
    for layer in model.layers:
        yield pen.layer(layer)
        if carried and layer.torch_hook is not None:
            yield pen.place(layer.torch_hook)
        if carried and layer.carried:
            yield pen.carried(layer)
    yield pen.image(model.image)


class _Pen:
    """Writes the lines of one chain, whose columns have the same widths everywhere."""

    def __init__(self, model: Model, width: int, glyphs: Glyphs) -> None:
        self._width, self._glyphs = width, glyphs
        self._costs = {layer.name: _costs(layer) for layer in model.layers}
        shapes = [_shape(layer) for layer in model.layers]
        shapes += [_extents(each.shape) for each in model.inputs]
        self._shape_width = max(map(len, shapes), default=0)
        self._level_width = max((len(layer.level) for layer in model.layers), default=0)
        rows = [*self._costs.values(), _HEADS]
        self._cost_widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        names = [layer.name for layer in model.layers] + [each.name for each in model.inputs]
        taken = sum(len(_GAP) + each for each in self._cost_widths if each)
        taken += 2 + len(_GAP) + self._shape_width
        taken += len(_GAP) + self._level_width if self._level_width else 0
        longest = max(map(len, [*names, "image"]))
        self._name_width = min(longest, max(_LEAST_NAME, width - taken))

    def heads(self) -> Iterator[Text]:
        """Two lines above the columns of costs."""
        blank = Text(" " * len(self._row(" ", "", "", "")), style="dim")
        upper = blank.copy()
        for title, first, last in _GROUPS:
            widths = self._cost_widths[first:last]
            upper.append(f"{title:>{sum(widths) + len(_GAP) * len(widths)}}")
        yield upper
        yield blank.append(self._aligned(_HEADS))

    def input(self, each: Input) -> Text:
        """An input, its shape and its distribution."""
        words = ", ".join(word for word in (each.drawn, "noise" if each.noise else "") if word)
        line = Text(f"{self._glyphs.input} ", style="dim")
        line.append(f"{self._short(each.name):<{self._name_width}}", style="not dim cyan")
        line.append(f"{_GAP}{_extents(each.shape):<{self._shape_width}}{_GAP}{words}")
        return line

    def line(self) -> Text:
        """The line between the inputs and the layers."""
        return Text(self._glyphs.line, style="dim")

    def layer(self, layer: Layer) -> Text:
        """A layer, its shape, its level and its costs."""
        row = self._row(self._glyphs.layer, self._short(layer.name), _shape(layer), layer.level)
        row.append(self._aligned(self._costs[layer.name]))
        row.rstrip()
        return row

    def place(self, hook: TorchHook) -> Text:
        """Where PyTorch computes the layer."""
        return Text(f"{self._glyphs.line}   {torch_place(hook)}"[: self._width], style="dim")

    def carried(self, layer: Layer) -> Text:
        """What crosses the cut beside the layer, as many names as there is room for."""
        line = f"{self._glyphs.line}   with "
        room = self._width - len(line)
        return Text(line + _fitted(layer.carried, room), style="dim")

    def image(self, image: ImageFormat) -> Text:
        """Where the chain ends."""
        shape = f"{image.channels} x {image.height} x {image.width}"
        line = Text(f"{self._glyphs.end} ", style="dim")
        line.append(f"{'image':<{self._name_width}}", style="not dim cyan")
        line.append(f"{_GAP}{shape:<{self._shape_width}}{_GAP}{image.low:g} to {image.high:g}")
        return line

    def _row(self, glyph: str, name: str, shape: str, level: str) -> Text:
        row = Text(f"{glyph} ")
        row.append(f"{name:<{self._name_width}}", style="bold")
        row.append(f"{_GAP}{shape:<{self._shape_width}}")
        if self._level_width:
            row.append(f"{_GAP}{level:<{self._level_width}}", style="cyan")
        return row

    def _aligned(self, cells: Sequence[str]) -> str:
        pairs = zip(cells, self._cost_widths, strict=True)
        return "".join(f"{_GAP}{cell:>{width}}" for cell, width in pairs)

    def _short(self, name: str) -> str:
        """A name without its middle where it is too long: its end tells most."""
        if len(name) <= self._name_width:
            return name
        kept = self._name_width - 1
        head = kept // 3
        return name[:head] + self._glyphs.more + name[len(name) - (kept - head) :]


def _costs(layer: Layer) -> tuple[str, ...]:
    return (
        rounded(layer.upstream_parameters),
        rounded(layer.downstream_parameters),
        _mflop(layer.upstream_mflop),
        _mflop(layer.downstream_mflop),
    )


def _mflop(value: float) -> str:
    # Thousands stay thousands: an M of MFLOP would be read as megaflop.
    return f"{value:,.0f}" if value >= 999.5 else rounded(value)


def _shape(layer: Layer) -> str:
    if layer.kind is LayerKind.TOKENS:
        return f"{layer.height} tokens x {layer.channels}"
    return _extents(layer.shape)


def _extents(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def _fitted(names: Sequence[str], room: int) -> str:
    """As many names as there is room for, and how many more there are."""
    for shown in range(len(names), 0, -1):
        left = len(names) - shown
        listed = ", ".join(names[:shown]) + (f" and {left} more" if left else "")
        if len(listed) <= room:
            return listed
    return f"{len(names)} tensors"
