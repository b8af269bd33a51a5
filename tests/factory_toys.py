"""Factories as users write them, right and wrong; `graftscope export factory_toys:NAME`."""

import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from architectures._weights import filled

SIDE = 4


@dataclass
class Output:
    sample: Tensor


class Parts(nn.Module):
    """What every generator here is made of: vectors (B, 5) to images (B, 3, 4, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 4 * SIDE * SIDE)
        self.act = nn.ReLU()
        self.colours = nn.Conv2d(4, 3, 3, padding=1)

    def maps(self, z: Tensor) -> Tensor:
        maps: Tensor = self.act(self.fc(z).view(-1, 4, SIDE, SIDE))
        return maps

    def image(self, maps: Tensor) -> Tensor:
        return torch.tanh(self.colours(maps))


class Decoder(Parts):
    def forward(self, z: Tensor) -> Tensor:
        return self.image(self.maps(z))


class Autoencoder(nn.Module):
    """A decoder behind a method whose result is more than the image."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = Decoder()

    def decode(self, z: Tensor, scale: float = 1.0, kind: str = "object") -> object:
        image = self.decoder(z) * scale
        return {"object": Output(image), "dict": {"rgb": image}, "tuple": (z, image)}[kind]

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("only decode is called")


class Conditional(Parts):
    """Labels first, then latents, and a strength that has a default."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 5)

    def forward(self, label: Tensor, z: Tensor, strength: Tensor | None = None) -> Tensor:
        shift = self.table(label)
        shift = shift if strength is None else shift * strength[:, None]
        return self.image(self.maps(z + shift))


class OneHot(Parts):
    """Labels that no table looks up."""

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        return self.image(self.maps(z + label.to(z.dtype)[:, None]))


class Fading(Parts):
    """Two float inputs, of which only one can be guessed."""

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        return self.image(self.maps(z * t[:, None]))


class Noisy(Parts):
    """Draws random numbers in four ways."""

    def forward(self, z: Tensor) -> Tensor:
        maps = self.maps(z)
        maps = maps + 0.1 * torch.randn_like(maps)
        maps = maps + 0.1 * torch.randn(z.shape[0], 1, SIDE, SIDE)
        maps = maps + 0.1 * maps.new_empty(z.shape[0], 1, SIDE, SIDE).normal_()
        maps = maps + 0.1 * torch.rand(z.shape[0], 1, SIDE, SIDE)
        return self.image(maps)


class FixedBatch(Parts):
    def forward(self, z: Tensor) -> Tensor:
        return self.image(self.fc(z).reshape(2, 4, SIDE, SIDE))


class Flat(Parts):
    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.fc(z)
        return out


class FlatDecoder(Decoder):
    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z).flatten(1)


class Five(Decoder):
    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Conv2d(4, 5, 3, padding=1)


class NoInputs(Parts):
    def forward(self, z: Tensor | None = None) -> Tensor:
        return self.image(self.maps(torch.zeros(2, 5) if z is None else z))


def decoder() -> nn.Module:
    return filled(Decoder())


def in_training_mode_and_half_precision() -> nn.Module:
    return filled(Decoder()).half().train()


def by_attribute() -> tuple[object, ...]:
    return filled(Autoencoder()), "decode", {"scale": 0.5}, "sample"


def by_key() -> tuple[object, ...]:
    return filled(Autoencoder()), "decode", {"kind": "dict"}, "rgb"


def by_index() -> tuple[object, ...]:
    return filled(Autoencoder()), "decode", {"kind": "tuple"}, 1


def by_function() -> tuple[object, ...]:
    return filled(Autoencoder()), "decode", {"kind": "tuple"}, lambda result: result[-1]


def conditional() -> nn.Module:
    return filled(Conditional())


def one_hot() -> nn.Module:
    return filled(OneHot())


def fading() -> nn.Module:
    return filled(Fading())


def noisy() -> nn.Module:
    return filled(Noisy())


def fixed_batch() -> nn.Module:
    return filled(FixedBatch())


def flat() -> nn.Module:
    return filled(Flat())


def flat_decoder() -> nn.Module:
    return filled(FlatDecoder())


def five() -> nn.Module:
    return filled(Five())


def no_inputs() -> nn.Module:
    return filled(NoInputs())


def whole_autoencoder() -> nn.Module:
    return filled(Autoencoder())


def no_such_method() -> tuple[object, ...]:
    return filled(Decoder()), "decode"


def no_such_key() -> tuple[object, ...]:
    return filled(Autoencoder()), "decode", {}, "images"


def unselected() -> tuple[object, ...]:
    return filled(Autoencoder()), "decode"


def a_dictionary() -> object:
    return {"model": filled(Decoder())}


def too_much() -> object:
    return filled(Decoder()), "forward", {}, "sample", 5


def raises() -> nn.Module:
    raise OSError("no weights at\nhome")


def leaves() -> nn.Module:
    raise SystemExit(2)


def prints() -> nn.Module:
    sys.stdout.write("loading ...\n")
    return filled(Decoder())


def with_an_argument(path: str) -> nn.Module:
    return filled(Decoder())


not_a_function = 5
