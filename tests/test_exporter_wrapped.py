"""Facts about modules that lie in wrappers: DataParallel, DDP, averaged and compiled ones."""

from pathlib import Path

import pytest
import torch

import factory_toys
import wrapper_toys
from graftscope.exporter import export
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter.sources._module import make

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit:DeprecationWarning"  # PyTorch's own, when its compiler is first imported
)


@pytest.mark.parametrize(
    ("factory", "wrappers"),
    [
        ("data_parallel", ("DataParallel",)),
        ("compiled", ("OptimizedModule",)),
        ("averaged", ("AveragedModel",)),
        ("distributed", ("DistributedDataParallel",)),
        ("several_times", ("DataParallel", "OptimizedModule", "DataParallel")),
    ],
)
def test_a_module_is_taken_out_of_its_wrappers(factory: str, wrappers: tuple[str, ...]) -> None:
    made = make(f"wrapper_toys:{factory}")
    assert (made.title, made.wrappers) == ("Decoder.forward", wrappers)
    assert [parameter.name for parameter in made.parameters()] == ["z"]


def test_a_method_of_the_module_inside_is_called() -> None:
    made = make("wrapper_toys:a_method_inside")
    assert (made.title, made.wrappers) == ("Autoencoder.decode", ("DataParallel",))


def test_what_is_not_wrapped_stays_as_it_is() -> None:
    assert make("factory_toys:decoder").wrappers == ()


def test_a_wrapped_module_is_exported_with_the_paths_of_the_module_inside(tmp_path: Path) -> None:
    exported = export("wrapper_toys:several_times", tmp_path / "toy")
    assert exported.notes[0] == (
        "taken out of DataParallel, OptimizedModule, DataParallel: Decoder, which PyTorch's hooks "
        "are of"
    )
    assert exported.manifest.provenance.torch_hooks["act"].module == "act"
    z, decoder = torch.ones(2, 5), factory_toys.decoder().eval()
    image = CpuSession(tmp_path / "toy" / "generator.onnx", optimised=False).run({"z": z.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(image["image"]), decoder(z))


def test_parts_that_are_wrapped_compute_as_written_and_keep_their_paths(tmp_path: Path) -> None:
    manifest = export("wrapper_toys:parts", tmp_path / "toy").manifest
    hooks = {name: hook.module for name, hook in manifest.provenance.torch_hooks.items()}
    paths = [path for path, _ in wrapper_toys.parts().named_modules()]
    assert len(manifest.layers) == 4
    assert set(hooks) == {layer.name for layer in manifest.layers}
    assert set(hooks.values()) <= set(paths)
