"""Facts about model repositories for Triton: what they hold and compute, and what is refused."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from google.protobuf import descriptor_pb2, text_format

from bundle_toys import reseal
from graftscope.bundle import read_bundle
from graftscope.client.cli import run
from graftscope.exporter import ProofError, SourceError, TargetExistsError, export
from graftscope.exporter.triton import TritonPlan, TritonRepository, export_triton
from graftscope.exporter.triton._check import check
from graftscope.exporter.triton._config import FREE, ModelConfig, Tensor, owner_in, to_text
from graftscope.exporter.triton._models import models_of
from graftscope.graph import ORIGINAL1, ORIGINAL2, SETS, SPLICED, splicer
from onnx_cases import CLASSES, LOOKED_UP, save
from onnx_toys import CHAIN, REUSED_LATENT
from onnx_toys import run as run_graph


@pytest.fixture(scope="module")
def toy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`toy`: cut below its first layers, it carries a latent and noise."""
    folder = tmp_path_factory.mktemp("bundles")
    export(save(folder / "toy.onnx", REUSED_LATENT), folder / "toy")
    return folder / "toy"


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`other`: nothing is carried."""
    folder = tmp_path_factory.mktemp("bundles")
    export(save(folder / "other.onnx", CHAIN), folder / "other")
    return folder / "other"


@pytest.fixture(scope="module")
def written(toy_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> TritonRepository:
    """The repository of a generator whose cuts carry a latent and noise."""
    return export_triton(toy_bundle, tmp_path_factory.mktemp("triton") / "models")


def config(repository: TritonRepository, model: str) -> str:
    return (repository.directory / model / "config.pbtxt").read_text()


def test_a_bundle_becomes_its_generator_and_four_models_a_layer(
    written: TritonRepository, toy_bundle: Path
) -> None:
    manifest = read_bundle(toy_bundle).manifest
    expected = {"toy"}
    for layer in manifest.layers:
        parts = ("upstream", "downstream") if layer.upstream else ()
        expected |= {f"toy.{layer.name}.{x}" for x in (*parts, "splice", "hybrid")}
    assert set(written.models) == {each.name for each in written.directory.iterdir()} == expected
    assert written.manifest == manifest


def test_graphs_are_the_bundles_own_and_weights_are_there_once(
    written: TritonRepository, toy_bundle: Path
) -> None:
    for layer in read_bundle(toy_bundle).manifest.layers:
        for half in ("upstream", "downstream") if layer.upstream else ():
            served = written.directory / f"toy.{layer.name}.{half}" / "1" / "model.onnx"
            assert served.read_bytes() == (toy_bundle / getattr(layer, half)).read_bytes()
    files = [path.stat() for path in written.directory.rglob("weights.bin")]
    assert written.linked
    assert len(files) > 1
    assert len({file.st_ino for file in files}) == 1
    # The bundle's own file has no other name, or the bundle would be refused from now on.
    assert read_bundle(toy_bundle).file("weights.bin").stat().st_ino != files[0].st_ino


def test_an_ensemble_names_every_input_twice_and_carries_those_of_original_1(
    written: TritonRepository,
) -> None:
    manifest = written.manifest
    layer = next(each for each in manifest.layers if each.upstream and "noise" in each.carried)
    text = config(written, f"toy.{layer.name}.hybrid")
    names = re.findall(r'^  name: "(.+)"$', text, re.MULTILINE)
    both = [f"{each.name}{which}" for which in (1, 2) for each in manifest.inputs]
    assert names == [*both, "channels", "hybrid"]
    assert f"  data_type: TYPE_BOOL\n  dims: [ {layer.channels} ]" in text
    steps = text.split("  step {")[1:]
    below = next(each for each in steps if 'value: "hybrid"' in each)
    assert 'key: "noise" value: "noise1"' in below
    # Triton refuses an ensemble's input that no step takes.
    assert "noise2" in next(each for each in steps if ".splice" in each)


def test_what_is_told_before_is_what_it_takes(toy_bundle: Path, tmp_path: Path) -> None:
    plans: list[TritonPlan] = []
    export_triton(toy_bundle, tmp_path / "models", on_plan=plans.append)
    (plan,) = plans
    onnx_files = [
        each
        for each in (tmp_path / "models").rglob("model.onnx")
        if not each.parts[-3].endswith(".splice")
    ]
    weights = [each.stat().st_size for each in (tmp_path / "models").rglob("weights.bin")]
    graphs = sum(each.stat().st_size for each in onnx_files)
    assert plan.models == len(list((tmp_path / "models").iterdir()))
    assert plan.size_bytes == graphs + weights[0]
    assert plan.copied_bytes == graphs + sum(weights)


def test_a_label_of_one_number_leaves_the_batch_to_the_request(tmp_path: Path) -> None:
    export(save(tmp_path / "toy.onnx", LOOKED_UP, **CLASSES), tmp_path / "toy")
    repository = export_triton(tmp_path / "toy", tmp_path / "models")
    assert repository.max_batch == 0
    text = config(repository, "toy")
    assert "max_batch_size: 0" in text
    assert 'name: "label"\n  data_type: TYPE_INT64\n  dims: [ -1 ]' in text
    assert 'name: "z"\n  data_type: TYPE_FP32\n  dims: [ -1, 8 ]' in text


def test_the_largest_batch_is_told_and_no_part_of_a_shape(toy_bundle: Path, tmp_path: Path) -> None:
    repository = export_triton(toy_bundle, tmp_path / "models", max_batch=7)
    assert 'max_batch_size: 7\ninput {\n  name: "z"\n' in config(repository, "toy")
    assert "dims: [ 8 ]" in config(repository, "toy")
    with pytest.raises(SourceError, match="max_batch 0 is below 1"):
        export_triton(toy_bundle, tmp_path / "others", max_batch=0)


@pytest.mark.parametrize(
    ("shape", "axis"), [((5,), 1), ((5, 3, 2), 1), ((4, 5), 2)], ids=["vector", "map", "tokens"]
)
def test_the_splice_takes_the_channels_of_original_2(shape: tuple[int, ...], axis: int) -> None:
    random = np.random.default_rng(0)
    originals = random.standard_normal((2, 3, *shape)).astype(np.float32)
    sets = random.random((3, 5)) < 0.5
    kind = ir.TensorType(ir.DataType.FLOAT)
    activation = ir.Value(name="relu", type=kind, shape=ir.Shape(["batch", *shape]))
    model = splicer(activation, channel_axis=axis)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    feeds = {ORIGINAL1: originals[0], ORIGINAL2: originals[1], SETS: sets}
    found = run_graph(model, feeds)[SPLICED]
    for pair, channel in np.ndindex(sets.shape):
        row = np.take(found[pair], channel, axis - 1)
        expected = np.take(originals[int(sets[pair, channel])][pair], channel, axis - 1)
        assert np.array_equal(row, expected)


@pytest.mark.parametrize("text", ["plain", 'a "quoted" \\ name', "größe\n\t\x01", "a.b/c:0"])
def test_names_are_read_again_as_they_were(text: str) -> None:
    (line, *_) = to_text(ModelConfig(text, (), (), 0)).splitlines()
    assert text_format.Parse(line, descriptor_pb2.FileDescriptorProto()).name == text


def test_only_what_an_export_wrote_has_an_owner() -> None:
    named = {"graftscope.bundle": "faces"}
    assert owner_in(to_text(ModelConfig("m", (), (), 0, named))) == "faces"
    assert owner_in('name: "faces"\nbackend: "onnxruntime"\n') is None


def test_other_models_stay_and_those_of_the_bundle_need_leave_to_be_replaced(
    toy_bundle: Path, other_bundle: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    (models / "others" / "1").mkdir(parents=True)
    export_triton(other_bundle, models)
    before = sorted(models.iterdir())
    first = export_triton(toy_bundle, models)
    with pytest.raises(TargetExistsError, match=r"has models of bundle 'toy' already.*--over"):
        export_triton(toy_bundle, models)
    layer = next(each.name for each in first.manifest.layers if each.upstream)
    second = export_triton(toy_bundle, models, layers=[layer], overwrite=True)
    assert len(second.models) < len(first.models)
    assert sorted(models.iterdir()) == sorted([*before, *(models / x for x in second.models)])
    assert sorted(tmp_path.iterdir()) == [models]


def test_what_no_export_wrote_is_not_replaced(toy_bundle: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    export_triton(toy_bundle, models)
    (models / "toy" / "1" / "notes.txt").write_text("mine")
    with pytest.raises(TargetExistsError, match=r"holds '1/notes.txt', which no export wrote"):
        export_triton(toy_bundle, models, overwrite=True)
    shutil.rmtree(models / "toy")
    (models / "toy" / "1").mkdir(parents=True)
    with pytest.raises(TargetExistsError, match="'toy' that was not written from a bundle"):
        export_triton(toy_bundle, models, overwrite=True)


def test_a_folder_of_something_else_is_no_repository(toy_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    for target, why in (("notes", "it holds 'a.txt'"), ("notes/a.txt", "but a file")):
        with pytest.raises(TargetExistsError, match=f"is not a Triton model repository.*{why}"):
            export_triton(toy_bundle, tmp_path / target)


def test_a_generator_that_gives_other_images_than_its_halves_is_not_written(
    toy_bundle: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(toy_bundle, bundle)
    path = bundle / "generator.onnx"
    model = onnx.load(path, load_external_data=False)
    image = model.graph.output[0].name
    (last,) = (node for node in model.graph.node if image in node.output)
    last.output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Neg", ["before"], [image]))
    path.write_bytes(model.SerializeToString())
    reseal(bundle)
    with pytest.raises(ProofError, match=r"no channel taken, against the generator's image is off"):
        export_triton(bundle, tmp_path / "models")
    assert list(tmp_path.iterdir()) == [bundle]


def test_the_check_sees_a_splice_that_swaps_roles(
    written: TritonRepository, toy_bundle: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "models"
    shutil.copytree(written.directory, copied)
    bundle = read_bundle(toy_bundle)
    models = models_of(bundle, bundle.manifest.layers, 64)
    check(copied, models, lambda: None)
    layer = next(each.name for each in bundle.manifest.layers if each.upstream)
    path = copied / f"toy.{layer}.splice" / "1" / "model.onnx"
    model = onnx.load(path)
    (where,) = (node for node in model.graph.node if node.op_type == "Where")
    where.input[1], where.input[2] = where.input[2], where.input[1]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ProofError, match=rf"'toy.{layer}.hybrid': hybrids, against the bundle"):
        check(copied, models, lambda: None)


@pytest.mark.parametrize(
    "told",
    [
        Tensor("z", "FP32", (FREE, 9)),
        Tensor("z", "FP64", (FREE, 8)),
        Tensor("y", "FP32", (FREE, 8)),
    ],
    ids=["shape", "datatype", "name"],
)
def test_the_check_sees_what_is_not_as_the_graph_says(
    written: TritonRepository, toy_bundle: Path, told: Tensor
) -> None:
    models = models_of(read_bundle(toy_bundle), [], 64)
    lie = replace(models.generator.config, inputs=(told, *models.generator.config.inputs[1:]))
    models = replace(models, generator=replace(models.generator, config=lie))
    with pytest.raises(ProofError, match=rf"the inputs 'z' FP32 \[-1, 8\],.* told {told.name!r}"):
        check(written.directory, models, lambda: None)


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (lambda x: replace(x, steps=x.steps[::-1]), "and is given nothing"),
        (lambda x: replace(x, steps=x.steps[:-1]), "its output needs 'hybrid'"),
        (
            lambda x: replace(x, inputs=(*x.inputs, Tensor("more", "FP32", (FREE, 1)))),
            "no step takes its input 'more'",
        ),
    ],
    ids=["order", "output", "input"],
)
def test_the_check_sees_steps_that_triton_would_refuse(
    written: TritonRepository,
    toy_bundle: Path,
    lie: Callable[[ModelConfig], ModelConfig],
    why: str,
) -> None:
    bundle = read_bundle(toy_bundle)
    models = models_of(bundle, bundle.manifest.layers, 64)
    first, *rest = models.layers
    hybrid = replace(first.hybrid, config=lie(first.hybrid.config))
    models = replace(models, layers=(replace(first, hybrid=hybrid), *rest))
    with pytest.raises(ProofError, match=why):
        check(written.directory, models, lambda: None)


def test_the_command_writes_a_bundle_for_triton(
    toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    assert run(["export", str(toy_bundle), "--triton", str(models), "--json"]) == 0
    told = capsys.readouterr()
    assert "writing" in told.err
    document = json.loads(told.out)
    assert document["name"] == "toy"
    assert document["triton"]["repository"] == str(models)
    assert sorted(document["triton"]["models"]) == sorted(x.name for x in models.iterdir())


def test_what_the_system_refuses_to_write_is_told_in_one_line(
    toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / ("m" * 250)  # whose temporary folder has too long a name
    assert run(["export", str(toy_bundle), "--triton", str(models)]) == 4
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith(f"graftscope: {str(models)!r} was not written: File name too long")


def test_the_command_writes_a_new_bundle_and_its_repository(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path / "toy.onnx", LOOKED_UP, **CLASSES)
    targets = ["--out", str(tmp_path / "toy"), "--triton", str(tmp_path / "models")]
    assert run(["export", str(source), *targets]) == 0
    told = capsys.readouterr()
    assert "of toy -> " in told.out
    assert "Triton is told of no batch" in told.err
    assert read_bundle(tmp_path / "toy").manifest.name == "toy"
    assert (tmp_path / "models" / "toy" / "config.pbtxt").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["gan-cifar10"], 2, "--out is missing (see --help)"),
        (["toy.onnx", "--triton", "models"], 2, "a Triton repository is written from a bundle"),
        (["gan-cifar10", "--out", "a", "--max-batch", "4"], 2, "--max-batch is for --triton DIR"),
        (
            ["gan-cifar10", "--triton", "models", "--input", "z=normal", "--range", "0,1"],
            2,
            "--input, --range: SOURCE is a bundle already",
        ),
        (["gan-cifr10", "--triton", "models"], 3, "no bundle 'gan-cifr10' comes with the package"),
        (
            ["gan-cifar10", "--triton", "models", "--layer", "decnv2"],
            4,
            "--layer 'decnv2' is the name of none of 4 layers: z, fc, deconv1, deconv2; the "
            "nearest is 'deconv2'",
        ),
    ],
)
def test_the_command_refuses_in_one_line(
    arguments: list[str], code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", *arguments]) == code
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("graftscope: ")
    assert why in told
