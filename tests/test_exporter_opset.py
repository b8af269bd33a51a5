"""Facts about bringing graphs up to the operation set that splicing needs."""

import numpy as np
import onnx_ir as ir
import pytest

from graftscope.exporter import SourceError
from graftscope.exporter.sources._onnx_file import raise_opset
from graftscope.graph import OPSET_FLOOR, normalise
from onnx_toys import CHAIN, latents, parse, run

# Means over axes that are an attribute up to opset 17 and an input from 18 on.
CENTRED = CHAIN.replace(
    "second = Relu(scaled)",
    "centre = ReduceMean<axes = [2, 3]>(scaled)\n    second = Sub(scaled, centre)",
)


def of_opset(text: str, opset: int) -> ir.Model:
    """Read a graph in plain form, as a file of an older release would hold it."""
    text = text.replace('"": 20', f'"": {opset}').replace("ir_version: 10", "ir_version: 8")
    return normalise(parse(text))


@pytest.mark.parametrize("text", [CHAIN, CENTRED])
@pytest.mark.parametrize("opset", [13, 17])
def test_an_older_graph_is_raised_and_no_number_changes(text: str, opset: int) -> None:
    given = latents(of_opset(text, opset), 3)
    before = run(of_opset(text, opset), given)
    raised = raise_opset(of_opset(text, opset))
    assert raised.graph.opset_imports == {"": OPSET_FLOOR}
    np.testing.assert_array_equal(run(raised, given)["image"], before["image"])


def test_raising_keeps_the_names_of_tensors_and_the_free_batch() -> None:
    raised = raise_opset(of_opset(CHAIN, 17))
    names = [node.outputs[0].name for node in raised.graph]
    assert names == [node.outputs[0].name for node in of_opset(CHAIN, 17).graph]
    assert str(raised.graph.inputs[0].shape) == "[batch,8]"


@pytest.mark.parametrize("opset", [18, 20])
def test_a_graph_that_is_new_enough_is_left_alone(opset: int) -> None:
    model = of_opset(CHAIN, opset)
    assert raise_opset(model) is model
    assert model.graph.opset_imports == {"": opset}


def test_what_cannot_be_converted_is_refused_in_one_line() -> None:
    message = "^the graph is of opset 17 and cannot be converted to 18, which splicing needs: Op "
    with pytest.raises(SourceError, match=message) as refused:
        raise_opset(of_opset(CHAIN.replace("Relu(maps)", "Nonesuch(maps)"), 17))
    assert "\n" not in str(refused.value)
