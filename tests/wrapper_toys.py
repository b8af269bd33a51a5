"""Factories whose modules lie in wrappers, as training scripts leave them."""

from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from architectures._weights import filled
from factory_toys import Autoencoder, Decoder


class Wrapping(nn.Module):
    """A generator whose parts are wrapped and compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = nn.DataParallel(nn.Sequential(nn.Linear(5, 5), nn.ReLU()))
        self.compiled = torch.compile(nn.Sequential(nn.Linear(5, 5), nn.ReLU()))
        self.decoder = Decoder()
        self.decoder.compile()

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.decoder(self.compiled(self.spread(z)))
        return image


def data_parallel() -> nn.Module:
    return nn.DataParallel(filled(Decoder()))


def compiled() -> object:
    return torch.compile(filled(Decoder()))


def averaged() -> nn.Module:
    return AveragedModel(filled(Decoder()))


def distributed() -> nn.Module:
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    try:
        return DistributedDataParallel(filled(Decoder()))
    finally:
        dist.destroy_process_group()


def several_times() -> object:
    inner = cast(nn.Module, torch.compile(nn.DataParallel(filled(Decoder()))))
    return nn.DataParallel(inner)


def a_method_inside() -> tuple[object, ...]:
    return nn.DataParallel(filled(Autoencoder())), "decode", {}, "sample"


def parts() -> nn.Module:
    return filled(Wrapping())
