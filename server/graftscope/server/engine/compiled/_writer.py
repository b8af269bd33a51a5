"""Writes LLVM's intermediate code: loops, vectors of float32, loads and stores by offset.

A thin layer over `llvmlite.ir`, so that the code that is written reads like the loops that it
means. Every multiply-add is fused and nothing is reordered, so that bits do not depend on how wide
a processor's registers are. It must not know convolutions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from llvmlite import ir

FLOAT, INT, POINTER = ir.FloatType(), ir.IntType(64), ir.PointerType()
_BOOL = ir.IntType(1)
_ELEMENT = 4
_ALIGN = ir.Constant(ir.IntType(32), _ELEMENT)


class Writer:
    """Writes one function.

    Args:
        module: where it goes.
        name: of the function.
        arguments: types of its arguments; it returns nothing.
        lanes: elements of a vector.
        inner: whether only the module itself calls it.

    Attributes:
        arguments: the function's arguments.
        lanes: elements of a vector.
    """

    def __init__(
        self,
        module: ir.Module,
        name: str,
        arguments: Sequence[ir.Type],
        lanes: int,
        *,
        inner: bool = False,
    ) -> None:
        self._module = module
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
        if inner:
            # Written once, not wherever it is called: it is most of the code.
            function.linkage = "internal"
            function.attributes.add("noinline")
        for argument in function.args:
            if argument.type == POINTER:
                argument.add_attribute("noalias")
        self.arguments: Sequence[ir.Value] = function.args
        self.lanes = lanes
        self._vector = ir.VectorType(FLOAT, lanes)
        self._entry = ir.IRBuilder(function.append_basic_block("entry"))
        self._start = function.append_basic_block("start")
        self._builder = ir.IRBuilder(self._start)

    def end(self) -> None:
        """Closes the function."""
        self._builder.ret_void()
        self._entry.branch(self._start)

    def index(self, number: int) -> ir.Value:
        """A whole number."""
        return ir.Constant(INT, number)

    def constant(self, number: float) -> ir.Value:
        """A vector of one number."""
        return ir.Constant(self._vector, [ir.Constant(FLOAT, number)] * self.lanes)

    def plus(self, *terms: ir.Value | int) -> ir.Value:
        """A sum of whole numbers."""
        numbers = sum(x for x in terms if isinstance(x, int))
        total: ir.Value | None = self.index(numbers) if numbers else None
        for term in terms:
            if not isinstance(term, int):
                total = term if total is None else self._builder.add(total, term)
        return self.index(0) if total is None else total

    def minus(self, number: int, value: ir.Value) -> ir.Value:
        """What is left of a whole number."""
        return self._builder.sub(self.index(number), value)

    def times(self, value: ir.Value, factor: int) -> ir.Value:
        """A product with a whole number."""
        return self._builder.mul(value, self.index(factor))

    @contextmanager
    def loop(self, count: ir.Value | int) -> Iterator[ir.Value]:
        """Repeats what is written inside, for 0 .. count - 1; a single turn is written as it is."""
        if count == 1:
            yield self.index(0)
            return
        limit = self.index(count) if isinstance(count, int) else count
        builder, counter = self._builder, self._entry.alloca(INT)
        builder.store(self.index(0), counter)
        test, body, behind = (builder.append_basic_block(x) for x in ("test", "body", "behind"))
        builder.branch(test)
        builder.position_at_end(test)
        turn = builder.load(counter, typ=INT)
        builder.cbranch(builder.icmp_signed("<", turn, limit), body, behind)
        builder.position_at_end(body)
        yield turn
        builder.store(builder.add(turn, self.index(1)), counter)
        builder.branch(test)
        builder.position_at_end(behind)

    @contextmanager
    def when(self, value: ir.Value, comparison: str, limit: int) -> Iterator[None]:
        """Does what is written inside where a whole number compares so with another one."""
        builder = self._builder
        body, behind = (builder.append_basic_block(x) for x in ("then", "behind"))
        builder.cbranch(builder.icmp_signed(comparison, value, self.index(limit)), body, behind)
        builder.position_at_end(body)
        yield
        builder.branch(behind)
        builder.position_at_end(behind)

    def choose(self, number: ir.Value, choices: Sequence[int]) -> ir.Value:
        """The whole number of this place among some."""
        chosen = self.index(choices[0])
        for i, choice in enumerate(choices):
            if choice != choices[0]:
                here = self._builder.icmp_signed("==", number, self.index(i))
                chosen = self._builder.select(here, self.index(choice), chosen)
        return chosen

    def call(self, function: str, *arguments: ir.Value) -> None:
        """Calls another function of the module."""
        self._builder.call(self._module.globals[function], arguments)

    def nowhere(self) -> ir.Value:
        """An address at which there is nothing."""
        return ir.Constant(POINTER, None)

    def at(self, base: ir.Value, *offsets: ir.Value | int) -> ir.Value:
        """The address so many elements behind another one."""
        return self._builder.gep(base, [self.plus(*offsets)], source_etype=FLOAT)

    def product(self, left: ir.Value, right: ir.Value) -> ir.Value:
        """Of whole numbers."""
        return self._builder.mul(left, right)

    def load(self, address: ir.Value, columns: int | None = None) -> ir.Value:
        """A vector, or zeros behind so many of its first elements."""
        if columns is None:
            return self._builder.load(address, typ=self._vector, align=_ELEMENT)
        intrinsic = self._intrinsic(
            "llvm.masked.load",
            self._vector,
            [POINTER, ir.IntType(32), ir.VectorType(_BOOL, self.lanes), self._vector],
            ".p0",
        )
        mask = self._first(self.index(columns))
        return self._builder.call(intrinsic, [address, _ALIGN, mask, self.constant(0.0)])

    def columns(self, width: int) -> list[tuple[int, int | None]]:
        """Where a row's vectors begin, and how much room the last one has, where it is not full."""
        begins = range(0, width, self.lanes)
        return [(x, width - x if width - x < self.lanes else None) for x in begins]

    def store(
        self, value: ir.Value, address: ir.Value, columns: ir.Value | int | None = None
    ) -> None:
        """Stores a vector, or of it no more than so many of its first elements."""
        if columns is None:
            self._builder.store(value, address, align=_ELEMENT)
            return
        arguments = [self._vector, POINTER, ir.IntType(32), ir.VectorType(_BOOL, self.lanes)]
        intrinsic = self._intrinsic("llvm.masked.store", ir.VoidType(), arguments, ".p0")
        mask = self._first(self.index(columns) if isinstance(columns, int) else columns)
        self._builder.call(intrinsic, [value, address, _ALIGN, mask])

    def _first(self, columns: ir.Value) -> ir.Value:
        """Which lanes are among so many first ones."""
        lanes = ir.Constant(ir.VectorType(INT, self.lanes), list(range(self.lanes)))
        return self._builder.icmp_signed("<", lanes, self._spread(columns, INT))

    def store_one(self, value: ir.Value, address: ir.Value) -> None:
        """Stores one element."""
        self._builder.store(value, address, align=_ELEMENT)

    def load_index(self, address: ir.Value, place: ir.Value) -> ir.Value:
        """A whole number of an array."""
        return self._builder.load(self._builder.gep(address, [place], source_etype=INT), typ=INT)

    def broadcast(self, address: ir.Value) -> ir.Value:
        """One element in all lanes."""
        return self._spread(self._builder.load(address, typ=FLOAT, align=_ELEMENT), FLOAT)

    def spread_index(self, value: ir.Value) -> ir.Value:
        """A whole number, as float32 in all lanes."""
        return self._spread(self._builder.sitofp(value, FLOAT), FLOAT)

    def variable(self) -> ir.Value:
        """Room for a vector, in a register where there is one."""
        return self._entry.alloca(self._vector)

    def add(self, left: ir.Value, right: ir.Value) -> ir.Value:
        """Of vectors or elements."""
        return self._builder.fadd(left, right)

    def subtract(self, left: ir.Value, right: ir.Value) -> ir.Value:
        """Of vectors or elements."""
        return self._builder.fsub(left, right)

    def multiply(self, left: ir.Value, right: ir.Value) -> ir.Value:
        """Of vectors."""
        return self._builder.fmul(left, right)

    def divide(self, left: ir.Value, right: ir.Value) -> ir.Value:
        """Of vectors."""
        return self._builder.fdiv(left, right)

    def fused(self, left: ir.Value, right: ir.Value, addend: ir.Value) -> ir.Value:
        """left * right + addend, rounded once."""
        intrinsic = self._intrinsic("llvm.fma", self._vector, [self._vector] * 3)
        return self._builder.call(intrinsic, [left, right, addend])

    def absolute(self, value: ir.Value) -> ir.Value:
        """Of a vector."""
        return self._builder.call(
            self._intrinsic("llvm.fabs", self._vector, [self._vector]), [value]
        )

    def at_least(self, value: ir.Value, low: float) -> ir.Value:
        """The value, or a limit where it is below; what is no number stays."""
        return self.where("<", value, low, self.constant(low), value)

    def at_most(self, value: ir.Value, high: float) -> ir.Value:
        """The value, or a limit where it is above; what is no number stays."""
        return self.where(">", value, high, self.constant(high), value)

    def where(
        self, comparison: str, value: ir.Value, limit: float, then: ir.Value, otherwise: ir.Value
    ) -> ir.Value:
        """By lanes, one of two vectors."""
        holds = self._builder.fcmp_ordered(comparison, value, self.constant(limit))
        return self._builder.select(holds, then, otherwise)

    def interleave(self, even: ir.Value, odd: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Two vectors with elements of both in turn."""
        half, kind = self.lanes // 2, ir.VectorType(ir.IntType(32), self.lanes)
        order = [place for i in range(self.lanes) for place in (i, self.lanes + i)]
        first, second = (ir.Constant(kind, order[i : i + self.lanes]) for i in (0, 2 * half))
        shuffle = self._builder.shuffle_vector
        return shuffle(even, odd, first), shuffle(even, odd, second)

    def sum(self, values: Sequence[ir.Value]) -> ir.Value:
        """Of the elements of vectors, one after the other."""
        elements = [
            self._builder.extract_element(value, self.index(i))
            for value in values
            for i in range(self.lanes)
        ]
        total = elements[0]
        for element in elements[1:]:
            total = self._builder.fadd(total, element)
        return total

    def get(self, variable: ir.Value) -> ir.Value:
        """What a variable holds."""
        return self._builder.load(variable, typ=self._vector)

    def set(self, variable: ir.Value, value: ir.Value) -> None:
        """Changes what a variable holds."""
        self._builder.store(value, variable)

    def _spread(self, value: ir.Value, kind: ir.Type) -> ir.Value:
        vector = ir.VectorType(kind, self.lanes)
        one = self._builder.insert_element(ir.Constant(vector, ir.Undefined), value, self.index(0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self._builder.shuffle_vector(one, one, lanes)

    def _intrinsic(
        self, name: str, result: ir.Type, arguments: Sequence[ir.Type], behind: str = ""
    ) -> ir.Function:
        full = f"{name}.v{self.lanes}f32{behind}"
        known = self._module.globals.get(full)
        return known or ir.Function(self._module, ir.FunctionType(result, arguments), full)
