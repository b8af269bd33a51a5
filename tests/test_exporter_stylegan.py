"""Facts about StyleGAN2 and 3 as NVIDIA's code computes them: fused, whole and in parts."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

from architectures import stylegan2_fused
from graftscope.exporter import Exported, export
from graftscope.exporter._samples import draw_latents
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter.sources._forms import Form
from graftscope.exporter.sources._fused import scale_maps
from graftscope.exporter.sources._module import Made, MethodModule, make
from graftscope.exporter.sources._trace import Replay
from graftscope.v1 import bundle_pb2
from torch_hooking import hooked, keep, swap

TOLERANCE = 1e-5
"""As a share of the images' largest value."""

BATCH = 3
CASES: dict[str, tuple[str, ...]] = {
    "stylegan2_fused:make_generator": (),
    "stylegan2_fused:without_switch": (),
    "stylegan2_fused:truncated": (),
    "stylegan2_fused:make_synthesis": ("ws=normal", "ws=4,10"),
    "stylegan3:make_generator": (),
}

Latents = dict[str, Tensor]


class Case:
    """A generator that was exported, and the module as it was made."""

    def __init__(self, name: str, folder: Path) -> None:
        self.source, self.folder = f"architectures.{name}", folder / "toy"
        said = CASES[name]
        self.exported: Exported = export(self.source, self.folder, inputs=said[:1], shapes=said[1:])
        self.made: Made = make(self.source)
        self.manifest: bundle_pb2.Bundle = self.exported.manifest

    def drawn(self, seed: int) -> Latents:
        found = draw_latents(self.manifest.inputs, {}, BATCH, seed=seed)
        return {name: torch.tensor(array) for name, array in found.items()}

    def image(self, latents: Latents, sample: int) -> Tensor:
        """Compute one sample with the module itself."""
        given = [each.name for each in self.manifest.inputs if not each.noise]
        labels = [torch.zeros(1, 0)] if "c" in {p.name for p in self.made.parameters()} else []
        own = {name: tensor[sample : sample + 1] for name, tensor in latents.items()}
        noise = [tensor for name, tensor in own.items() if name not in given]
        with torch.no_grad(), Replay(noise):
            image: Tensor = self.made.module(
                *(own[name] for name in given), *labels, **self.made.keywords
            )
        return image


LONG = ("stylegan2_fused:without_switch", "stylegan2_fused:truncated")
PARAMS = [pytest.param(x, marks=pytest.mark.soak if x in LONG else ()) for x in CASES]


@pytest.fixture(scope="module", params=PARAMS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(request.param, tmp_path_factory.mktemp("stylegan"))


def run(file: Path, tensors: Latents) -> Latents:
    given = {name: tensor.numpy() for name, tensor in tensors.items()}
    return {
        name: torch.from_numpy(each)
        for name, each in CpuSession(file, optimised=True).run(given).items()
    }


def assert_near(found: Tensor, wanted: Tensor) -> None:
    allowed = TOLERANCE * float(wanted.abs().max())
    torch.testing.assert_close(found, wanted, rtol=0, atol=allowed)


def test_a_batch_is_what_the_module_gives_for_each_sample_by_itself(case: Case) -> None:
    latents = case.drawn(seed=3)
    found = run(case.folder / case.manifest.generator, latents)
    wanted = torch.cat([case.image(latents, sample) for sample in range(BATCH)])
    assert_near(found["image"], wanted)


def test_a_hybrid_is_what_a_forward_hook_gives_where_there_is_one(case: Case) -> None:
    latents1, latents2 = case.drawn(seed=1), case.drawn(seed=2)
    hooks = case.manifest.provenance.torch_hooks
    assert len(hooks) >= 3
    for layer in (each for each in case.manifest.layers if each.name in hooks):
        first, second = (recorded(case, layer, each) for each in (latents1, latents2))
        even = torch.arange(layer.channels) % 2 == 0
        axis = 2 if layer.kind == bundle_pb2.LAYER_KIND_TOKENS else 1
        first[layer.tensor] = swap(second[layer.tensor], even, axis)(first[layer.tensor])
        (found,) = run(case.folder / layer.downstream, first).values()
        assert_near(found, with_hook(case, hooks[layer.name], latents1, latents2, even, axis))


def recorded(case: Case, layer: bundle_pb2.Layer, latents: Latents) -> Latents:
    """Return the latents, and what the upper half gives."""
    return {**latents, **(run(case.folder / layer.upstream, latents) if layer.upstream else {})}


def with_hook(
    case: Case,
    hook: bundle_pb2.TorchHook,
    latents1: Latents,
    latents2: Latents,
    even: Tensor,
    axis: int,
) -> Tensor:
    images = []
    for sample in range(BATCH):
        donors: list[Tensor] = []
        with hooked(case.made.module, hook, keep(donors)):
            case.image(latents2, sample)
        with hooked(case.made.module, hook, swap(donors[0], even, axis)):
            images.append(case.image(latents1, sample))
    return torch.cat(images)


def test_labels_of_an_unconditional_model_are_no_input(case: Case) -> None:
    assert "c" not in {each.name for each in case.manifest.inputs}


@pytest.mark.parametrize("honest", [True, False])
def test_a_switch_is_turned_where_that_changes_nothing(honest: bool) -> None:
    generator = stylegan2_fused.small()
    if not honest:
        generator.synthesis.b4.register_forward_hook(
            lambda part, _, result: (
                result if part.fused_modconv_default else (result[0] + 1, result[1])
            )
        )
    made = Made(generator, "forward", {"c": torch.zeros(2, 0), "noise_mode": "const"})
    notes = scale_maps(made, MethodModule(made, ("z",)), [torch.randn(2, 8)])
    assert notes == (
        ("fused_modconv_default: switched off, so that maps are scaled instead of weights",)
        if honest
        else ()
    )
    assert generator.synthesis.b4.fused_modconv_default is not honest


class ModulatedConv2d(torch.nn.Module):
    """As ports call it; another module's `fused` is another thing."""

    def __init__(self) -> None:
        super().__init__()
        self.fused = True

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if self.fused else x + x


class Other(ModulatedConv2d):
    def forward(self, x: Tensor) -> Tensor:
        return x if self.fused else x + 1


def test_ports_call_the_switch_fused() -> None:
    module = torch.nn.Sequential(ModulatedConv2d(), Other())
    made = Made(module)
    call = MethodModule(made, ("input",))
    assert scale_maps(made, call, [torch.ones(2, 3, 4, 4)]) == (
        "fused: switched off, so that maps are scaled instead of weights",
    )
    assert [part.fused for part in (module[0], module[1])] == [False, True]


def test_a_file_of_one_sample_is_exported_for_any_batch(tmp_path: Path) -> None:
    made, z = make("architectures.stylegan2_fused:truncated"), torch.ones(1, 8)
    call = MethodModule(made, ("z",), {"c": Form.EMPTY})
    with warnings.catch_warnings(action="ignore"):
        program = torch.onnx.export(call, (z,), input_names=["latent"], dynamo=True, verbose=False)
    assert program is not None
    program.save(tmp_path / "one.onnx")
    manifest = export(tmp_path / "one.onnx", tmp_path / "toy").manifest
    many = torch.linspace(-1, 1, 40).reshape(5, 8)
    with torch.no_grad():
        wanted = torch.cat([call(each[None]) for each in many])
    (found,) = run(tmp_path / "toy" / manifest.generator, {"latent": many}).values()
    assert_near(found, wanted)
