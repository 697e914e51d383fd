"""Vectors, loops and pointers in LLVM IR: the words in which the engine's code is written."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from llvmlite import ir

from wf_jax.native.target import Target

FLOAT = ir.FloatType()
INT32 = ir.IntType(32)
INT64 = ir.IntType(64)
POINTER = ir.PointerType()
VOID = ir.VoidType()

Value = ir.Value


def int64(value: int) -> Value:
    """A constant index."""
    return ir.Constant(INT64, value)


def table(module: ir.Module, name: str, values: np.ndarray) -> Value:
    """The address of constant numbers, float32 or int64, that a module keeps under a name."""
    if name not in module.globals:
        kind = {"float32": FLOAT, "int64": INT64}[values.dtype.name]
        numbers = ir.ArrayType(kind, values.size)
        variable = ir.GlobalVariable(module, numbers, name)
        variable.initializer = ir.Constant(numbers, values.ravel().tolist())
        variable.global_constant, variable.linkage = True, "internal"
    return module.globals[name]


class Emitter:
    """Writes one function; wraps llvmlite's builder with float32 vectors of the target's width."""

    def __init__(self, module: ir.Module, target: Target, name: str, arguments: Sequence[str]):
        """Begins a private function.

        Args:
            module: that the function goes to.
            target: the processor.
            name: of the function.
            arguments: their names; those that end in "*" are pointers, others int64.
        """
        self.module, self.target, self.lanes = module, target, target.lanes
        self.vector = ir.VectorType(FLOAT, target.lanes)
        types = [POINTER if name.endswith("*") else INT64 for name in arguments]
        self.function = ir.Function(module, ir.FunctionType(VOID, types), name)
        for attribute in ("noinline", "nounwind"):
            self.function.attributes.add(attribute)
        self.arguments = {}
        for name, value in zip(arguments, self.function.args, strict=True):
            value.name = name.strip("*")
            self.arguments[value.name] = value
            if name.endswith("*"):
                value.add_attribute("noalias")  # the buffers of a step are different ones
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))

    # Constants and addresses

    def constant(self, value: float) -> Value:
        """A vector of one number, rounded to float32."""
        return ir.Constant(self.vector, [float(np.float32(value))] * self.lanes)

    def integers(self, value: int) -> Value:
        """A vector of one int32."""
        return ir.Constant(ir.VectorType(INT32, self.lanes), [value] * self.lanes)

    def at(self, pointer: Value, index: Value | int) -> Value:
        """The address of number `index` behind `pointer`."""
        index = int64(index) if isinstance(index, int) else index
        return self.builder.gep(pointer, [index], inbounds=True, source_etype=FLOAT)

    def load(self, pointer: Value, index: Value | int = 0) -> Value:
        """The vector that begins at number `index`, at any address."""
        return self.builder.load(self.at(pointer, index), align=4, typ=self.vector)

    def store(self, value: Value, pointer: Value, index: Value | int = 0) -> None:
        """Writes a vector, see `load`."""
        self.builder.store(value, self.at(pointer, index), align=4)

    def broadcast(self, pointer: Value, index: int = 0) -> Value:
        """The number at `index` in every lane."""
        number = self.builder.load(self.at(pointer, index), align=4, typ=FLOAT)
        undefined = ir.Constant(self.vector, ir.Undefined)
        single = self.builder.insert_element(undefined, number, ir.Constant(INT32, 0))
        return self.builder.shuffle_vector(single, undefined, self.integers(0))

    def prefetch(self, pointer: Value) -> None:
        """Brings the cache line of an address near, to be written."""
        name, hints = "llvm.prefetch.p0", [ir.Constant(INT32, n) for n in (1, 3, 1)]
        kind = ir.FunctionType(VOID, [POINTER, INT32, INT32, INT32])
        function = self.module.globals.get(name) or ir.Function(self.module, kind, name)
        self.builder.call(function, [pointer, *hints])

    # Arithmetic

    def intrinsic(self, name: str, *values: Value) -> Value:
        """An LLVM intrinsic of vectors that returns such a vector."""
        name = f"llvm.{name}.v{self.lanes}f32"
        kind = ir.FunctionType(self.vector, [self.vector] * len(values))
        function = self.module.globals.get(name) or ir.Function(self.module, kind, name)
        return self.builder.call(function, values)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """A * b + c; fused where the target does that at once."""
        return self.intrinsic("fmuladd", a, b, c)

    def minimum(self, bound: Value, x: Value) -> Value:
        """The smaller one; x where that is not a number."""
        return self.builder.select(self.builder.fcmp_ordered("<", bound, x), bound, x)

    def maximum(self, bound: Value, x: Value) -> Value:
        """The larger one; x where that is not a number."""
        return self.builder.select(self.builder.fcmp_ordered(">", bound, x), bound, x)

    # Control

    def loop(
        self,
        count: Value,
        step: int,
        carried: Sequence[Value],
        body: Callable[[Value, list[Value]], Sequence[Value]],
    ) -> list[Value]:
        """Runs `body` for 0, step, ... below count, at least once.

        Args:
            count: int64, above 0.
            step: of the index.
            carried: first values of what goes from one round to the next.
            body: (index, values) -> the values of the next round.

        Returns:
            The values after the last round.
        """
        builder, before = self.builder, self.builder.block
        inside = self.function.append_basic_block("loop")
        builder.branch(inside)
        builder.position_at_end(inside)
        index = builder.phi(INT64)
        index.add_incoming(int64(0), before)
        values = [builder.phi(value.type) for value in carried]
        for phi, value in zip(values, carried, strict=True):
            phi.add_incoming(value, before)
        results = list(body(index, list(values)))
        following = builder.add(index, int64(step))
        end = builder.block
        for phi, value in zip((index, *values), (following, *results), strict=True):
            phi.add_incoming(value, end)
        outside = self.function.append_basic_block("done")
        builder.cbranch(builder.icmp_signed("<", following, count), inside, outside)
        builder.position_at_end(outside)
        return results

    @contextmanager
    def only_if(self, condition: Value) -> Iterator[None]:
        """Within it code runs where `condition` holds; it makes no values."""
        with self.builder.if_then(condition):
            yield

    def call(self, function: ir.Function, *arguments: Value) -> None:
        """Calls another function of the module."""
        self.builder.call(function, arguments)
