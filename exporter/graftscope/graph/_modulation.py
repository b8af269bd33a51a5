"""Take per-sample weights apart: scale the data, convolve once, scale what comes out.

StyleGAN2 multiplies a convolution's weights by a style for each input channel and demodulates them
for each output channel (Karras et al. 2020, equations 1 and 3), so every sample has weights of its
own, and a batch becomes a number of groups. At a batch of 1, where exporters write it down:

    Conv(x, W * style * demodulation) = Conv(x * style, W) * demodulation

Rules
1. Weights are followed back through what multiplies or rearranges them. A factor that depends on an
   input and lies along one axis scales the data, if that is the input channels', or else the
   result. What is left depends on no input, or nothing is changed.
2. The sum of the squares of weights times styles, over all but the output channels, is the squares
   of the styles times sums of squares of the weights.
3. Where there are such weights, a mean over a whole (1, C) tensor, in which StyleGAN3 normalises
   styles, is one over a sample's own values; demodulation cancels it.

It works at a batch of 1; whether the numbers are the same is for a proof to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph._shapes import infer_missing_shapes
from graftscope.graph._tensors import constants_of, name_of
from graftscope.graph._values import free_name, initializer, insert

_CONVOLUTIONS: Final = frozenset({"Conv", "ConvTranspose"})
_REARRANGED: Final = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
_SPATIAL: Final = (2, 3)
_DEEPEST: Final = 100
"""How many operations weights are followed through."""


@dataclass(frozen=True)
class _Factor:
    """What weights are multiplied by, along one of their axes; None where it is one number."""

    value: ir.Value
    axis: int | None


@dataclass(frozen=True)
class _Weights:
    """Weights as the product of what depends on no input, and factors."""

    base: ir.Value
    factors: tuple[_Factor, ...] = ()


def scale_instead_of_weights(model: ir.Model) -> int:
    """Make convolutions whose weights depend on the sample ones with weights of their own.

    Args:
        model: A graph in plain form with a batch of 1, whose shapes are known; changed in place.

    Returns:
        How many convolutions were changed; others are left as they are.
    """
    rewriting = _Rewriting(model.graph)
    changed = sum(
        rewriting.convolution(node)
        for node in list(model.graph)
        if operation(node) in _CONVOLUTIONS and node.attributes.get_int("group", 1) == 1
    )
    if changed:
        for node in list(model.graph):
            rewriting.sum_of_squares(node)
            rewriting.mean_of_styles(node)
        ir.passes.common.RemoveUnusedNodesPass()(model)
        ir.passes.common.TopologicalSortPass()(model)
        infer_missing_shapes(model)
    return changed


class _Rewriting:
    """One graph, and what of it depends on no input."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._constant = constants_of(graph)
        self._followed: dict[ir.Value, _Weights | None] = {}
        self._depth = 0

    def convolution(self, node: ir.Node) -> bool:
        """Apply rule 1; tell whether it applied."""
        data, kernel = node.inputs[:2]
        if data is None or kernel is None or kernel in self._constant or not _known(data, kernel):
            return False
        self._followed = {}
        weights = self._apart(kernel, node)
        data = _before_reshaping(data)
        inner = 1 if operation(node) == "Conv" else 0
        if weights is None or any(each.axis in _SPATIAL for each in weights.factors):
            return False
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        for factor in weights.factors:
            if factor.axis == inner:
                data = self._scaled(node, data, factor)
        node.replace_input_with(0, data)
        node.replace_input_with(1, weights.base)
        outer = [each for each in weights.factors if each.axis != inner]
        if outer:
            if bias is not None:
                node.replace_input_with(2, None)
            self._scale_result(node, outer, bias)
        return True

    def sum_of_squares(self, node: ir.Node) -> None:
        """Apply rule 2."""
        squared = self._squared(node)
        axes = _axes(node)
        if squared is None or axes is None or not _known(squared, node.outputs[0]):
            return
        self._followed = {}
        weights = self._apart(squared, node)
        wide = [axis for axis, extent in enumerate(_extents(squared)) if extent > 1]
        kept = [axis for axis in wide if axis not in axes]
        if weights is None or not weights.factors or len(kept) != 1:
            return
        at = {each.axis for each in weights.factors} - {None}
        if len(at) != 1 or not at <= set(axes):
            return
        self._sum_by_product(node, weights, kept[0], next(iter(at)) or 0)

    def mean_of_styles(self, node: ir.Node) -> None:
        """Apply rule 3."""
        data = node.inputs[0] if operation(node) == "ReduceMean" else None
        axes = _axes(node)
        if data is None or data in self._constant or not _known(data) or axes is None:
            return
        if len(_extents(data)) != 2 or _extents(data)[0] != 1 or set(axes) != {0, 1}:
            return
        axis = self._ints(node, [1])
        own = self._new(node, "ReduceMean", [data, axis], (1, 1), {"keepdims": 1})
        means = [node.outputs[0]]
        for use in node.outputs[0].uses():
            means += use.node.outputs if operation(use.node) == "Squeeze" else ()
        for mean in means:
            mean.replace_all_uses_with(own)
        waiting = [own]
        while waiting:  # what is computed of one number is one number a sample now
            single = [each for use in waiting.pop().uses() for each in use.node.outputs]
            for each in single:
                if _known(each) and not _extents(each):
                    each.shape = ir.Shape((1, 1))
                    waiting.append(each)

    def _apart(self, value: ir.Value, at: ir.Node) -> _Weights | None:
        """Follow weights back; None where they are more than a product along axes.

        What was followed once for a node is not followed again: a product has two factors, and a
        chain of products would double the ways at each of them.
        """
        if value not in self._followed:
            self._depth += 1
            found = self._taken_apart(value, at) if self._depth < _DEEPEST else None
            self._followed[value] = found
            self._depth -= 1
        return self._followed[value]

    def _taken_apart(self, value: ir.Value, at: ir.Node) -> _Weights | None:
        if value in self._constant:
            return _Weights(value)
        node = value.producer()
        if node is None or not _known(value, *node.inputs):
            return None
        if operation(node) in ("Mul", "Div"):
            return self._product(node, at)
        source = node.inputs[0] if node.inputs else None
        rest = None if source is None else self._apart(source, at)
        return None if rest is None else self._moved(rest, node, at)

    def _moved(self, rest: _Weights, node: ir.Node, at: ir.Node) -> _Weights | None:
        """Follow weights through what moves them, or turns them round."""
        assert node.inputs[0] is not None
        kind, after = operation(node), _extents(node.outputs[0])
        if kind == "Identity":
            return rest
        if kind in _REARRANGED:
            return self._rearranged(rest, node, at)
        if kind == "Transpose":
            return self._transposed(rest, node, at)
        turns = self._constant.issuperset(each for each in node.inputs[1:] if each is not None)
        if kind == "Slice" and turns and _extents(node.inputs[0]) == after:
            along = {each.axis for each in rest.factors}
            if along.isdisjoint(_sliced(node)):
                base = self._new(at, kind, [rest.base, *node.inputs[1:]], after)
                return replace(rest, base=base)
        return None

    def _product(self, node: ir.Node, at: ir.Node) -> _Weights | None:
        """Take a product, or a quotient, of weights and a factor apart."""
        extents, divides = _extents(node.outputs[0]), operation(node) == "Div"
        for whole, factor in (node.inputs, node.inputs[::-1])[: 1 if divides else 2]:
            assert whole is not None
            assert factor is not None
            if np.prod(_extents(whole)) != np.prod(extents):
                continue
            rest = self._apart(whole, at)
            if rest is None:
                continue
            offset = len(extents) - len(_extents(whole))
            moved = tuple(
                replace(each, axis=None if each.axis is None else each.axis + offset)
                for each in rest.factors
            )
            base = rest.base if offset == 0 else self._reshaped(at, rest.base, extents)
            if factor in self._constant:
                base = self._new(at, operation(node), [base, factor], extents)
                return _Weights(base, moved)
            along = _only_axis(factor, extents)
            if along is None or (along == () and np.prod(_extents(factor)) != 1):
                continue
            by = self._new(at, "Reciprocal", [factor], _extents(factor)) if divides else factor
            return _Weights(base, (*moved, _Factor(by, along[0] if along else None)))
        return None

    def _rearranged(self, rest: _Weights, node: ir.Node, at: ir.Node) -> _Weights | None:
        """Follow axes through what only adds and drops axes of extent 1."""
        assert node.inputs[0] is not None
        before, after = _extents(node.inputs[0]), _extents(node.outputs[0])
        old = [axis for axis, extent in enumerate(before) if extent > 1]
        new = [axis for axis, extent in enumerate(after) if extent > 1]
        if [before[axis] for axis in old] != [after[axis] for axis in new]:
            return None
        places: dict[int | None, int | None] = {None: None, **dict(zip(old, new, strict=True))}
        factors = tuple(replace(each, axis=places[each.axis]) for each in rest.factors)
        return _Weights(self._reshaped(at, rest.base, after), factors)

    def _transposed(self, rest: _Weights, node: ir.Node, at: ir.Node) -> _Weights:
        after = _extents(node.outputs[0])
        order = list(node.attributes.get_ints("perm", tuple(reversed(range(len(after))))))
        factors = tuple(
            replace(each, axis=None if each.axis is None else order.index(each.axis))
            for each in rest.factors
        )
        base = self._new(at, "Transpose", [rest.base], after, {"perm": order})
        return _Weights(base, factors)

    def _scaled(self, at: ir.Node, data: ir.Value, factor: _Factor) -> ir.Value:
        """Scale a map (1, C, H, W) channel by channel."""
        return self._new(at, "Mul", [data, self._style(at, factor)], _extents(data))

    def _style(self, at: ir.Node, factor: _Factor) -> ir.Value:
        """Return a factor as (1, C, 1, 1)."""
        vector = self._vector(at, factor)
        return self._reshaped(at, vector, (*_extents(vector), 1, 1))

    def _vector(self, at: ir.Node, factor: _Factor) -> ir.Value:
        """Return a factor as the vector (1, C) that it was made of."""
        vector, count = factor.value, int(np.prod(_extents(factor.value)))
        while _extents(vector) != (1, count):
            node = vector.producer()
            source = None if node is None else node.inputs[0]
            if node is None or source is None or operation(node) not in _REARRANGED:
                break
            if not _known(source) or np.prod(_extents(source)) != count:
                break
            vector = source
        return self._reshaped(at, vector, (1, count))

    def _scale_result(
        self, node: ir.Node, factors: Sequence[_Factor], bias: ir.Value | None
    ) -> None:
        """Scale what a convolution gives, and add its bias behind that."""
        made = node.outputs[0]
        extents, uses, is_output = _extents(made), list(made.uses()), made.is_graph_output()
        value = made
        for factor in factors:
            value = self._new(node, "Mul", [value, self._style(node, factor)], extents)
        if bias is not None:
            broad = self._reshaped(node, bias, (1, extents[1], 1, 1))
            value = self._new(node, "Add", [value, broad], extents)
        for use in uses:
            use.node.replace_input_with(use.idx, value)
        if is_output:
            self._graph.outputs[self._graph.outputs.index(made)] = value
            value.name, made.name = made.name, value.name

    def _squared(self, node: ir.Node) -> ir.Value | None:
        """Return what a node sums the squares of."""
        data = node.inputs[0] if node.inputs else None
        if operation(node) == "ReduceSumSquare":
            return data
        square = data.producer() if operation(node) == "ReduceSum" and data is not None else None
        if square is None:
            return None
        first, second = (*square.inputs, None)[:2]
        if operation(square) == "Mul" and first is second:
            return first
        power = None if second is None else second.const_value
        is_square = power is not None and power.size == 1 and float(power.numpy().reshape(())) == 2
        return first if operation(square) == "Pow" and is_square else None

    def _sum_by_product(self, node: ir.Node, weights: _Weights, out: int, inner: int) -> None:
        """Multiply squared styles (1, C) by the sums of squares (C, C') of the weights."""
        extents = _extents(weights.base)
        count, wide = extents[inner], extents[out]
        energy = self._new(node, "Mul", [weights.base, weights.base], extents)
        gone = [axis for axis in range(len(extents)) if axis not in (inner, out)]
        kept = tuple(extents[axis] for axis in sorted((inner, out)))
        if gone:
            axes = self._ints(node, gone)
            energy = self._new(node, "ReduceSum", [energy, axes], kept, {"keepdims": 0})
        if out < inner:
            energy = self._new(node, "Transpose", [energy], kept[::-1], {"perm": [1, 0]})
        squares = [self._square(node, each) for each in weights.factors]
        factor = squares[0]
        for each in squares[1:]:
            factor = self._new(node, "Mul", [factor, each], (1, count))
        if _extents(factor) != (1, count):
            return
        total = self._new(node, "MatMul", [factor, energy], (1, wide))
        result = self._reshaped(node, total, _extents(node.outputs[0]))
        node.outputs[0].replace_all_uses_with(result)

    def _square(self, at: ir.Node, factor: _Factor) -> ir.Value:
        vector = self._vector(at, factor)
        return self._new(at, "Mul", [vector, vector], _extents(vector))

    def _reshaped(self, at: ir.Node, value: ir.Value, extents: Sequence[int]) -> ir.Value:
        if _extents(value) == tuple(extents):
            return value
        return self._new(at, "Reshape", [value, self._ints(at, extents)], extents)

    def _ints(self, at: ir.Node, numbers: Sequence[int]) -> ir.Value:
        name = free_name(self._graph, f"{name_of(at.outputs[0])}_extents")
        value = initializer(self._graph, name, np.array(numbers, dtype=np.int64))
        self._constant.add(value)
        return value

    def _new(
        self,
        at: ir.Node,
        kind: str,
        inputs: Sequence[ir.Value | None],
        extents: Sequence[int],
        attributes: dict[str, int | list[int]] | None = None,
    ) -> ir.Value:
        """Put a node before another; it counts as a part of the same module."""
        node = ir.node(kind, inputs, attributes or {})
        node.metadata_props.update(at.metadata_props)
        name = free_name(self._graph, f"{name_of(at.outputs[0])}_scaled")
        value = insert(self._graph, at, node, name)
        value.shape = ir.Shape(extents)
        value.type = None if inputs[0] is None else inputs[0].type
        if self._constant.issuperset(each for each in inputs if each is not None):
            self._constant.add(value)
        return value


def _known(*values: ir.Value | None) -> bool:
    return all(v is None or (v.shape is not None and v.shape.is_static()) for v in values)


def _before_reshaping(value: ir.Value) -> ir.Value:
    """Return what a tensor is where a batch of 1 became as many groups, which changes nothing."""
    node = value.producer()
    while node is not None and operation(node) == "Reshape":
        source = node.inputs[0]
        if source is None or not _known(source, value) or _extents(source) != _extents(value):
            break
        value, node = source, source.producer()
    return value


def _extents(value: ir.Value) -> tuple[int, ...]:
    assert value.shape is not None
    return tuple(int(extent) for extent in value.shape.numpy())


def _only_axis(factor: ir.Value, extents: Sequence[int]) -> tuple[int, ...] | None:
    """Return the axis along which a factor varies, () if none; None if there are several."""
    own = _extents(factor)
    offset = len(extents) - len(own)
    wide = tuple(axis + offset for axis, extent in enumerate(own) if extent > 1)
    return wide if len(wide) <= 1 else None


def _sliced(node: ir.Node) -> set[int]:
    """Return the axes that a Slice picks from; all where they are not known."""
    rank = len(_extents(node.outputs[0]))
    given = node.inputs[3] if len(node.inputs) > 3 else None
    if given is None or given.const_value is None:
        return set(range(rank))
    return {int(number) % rank for number in given.const_value.numpy().reshape(-1)}


def _axes(node: ir.Node) -> tuple[int, ...] | None:
    """Return the axes that a reduction goes over; None if it is none, or they are not known."""
    data = node.inputs[0] if node.inputs else None
    if not operation(node).startswith("Reduce") or data is None or not _known(data):
        return None
    rank = len(_extents(data))
    given = node.inputs[1] if len(node.inputs) > 1 else None
    if given is not None:
        if given.const_value is None:
            return None
        numbers = [int(number) for number in given.const_value.numpy().reshape(-1)]
    else:
        numbers = list(node.attributes.get_ints("axes", ()))
    return tuple(number % rank for number in numbers) or tuple(range(rank))
