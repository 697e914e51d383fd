"""Converts a JAX function to an ONNX graph: simplified, converted in pieces by jax2onnx, joined.

jax2onnx supports neither reversed scans nor barriers, and its time grows with the square of the
input's size. So the function's jaxpr is first simplified: loops unrolled, constants computed.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.extend import core

OPSET, IR_VERSION = 18, 8  # onnxruntime 1.14 and later
PIECE = 150  # equations that jax2onnx converts at once
SHARED = 64  # numbers from which on a constant is kept once for all pieces


def convert(
    call: Callable[..., tuple[jax.Array, ...]],
    examples: Mapping[str, np.ndarray],
    outputs: Sequence[str],
    name: str,
    facts: Mapping[str, Any],
    say: Callable[[str], object],
) -> bytes:
    """Converts a function of float32 arrays to an ONNX file.

    Args:
        call: arrays -> tuple of arrays.
        examples: its inputs by name, in their order: their shapes are those of the file.
        outputs: names of its results.
        name: name of the graph.
        facts: facts for users of the file: its metadata, as JSON.
        say: takes lines on the progress.

    Raises:
        Exception: jax2onnx cannot do it; each of its parts has errors of its own.
    """
    simple = _simplified(call, list(examples.values()))
    return _file(simple, list(examples), outputs, name, facts, say)


def _simplified(call: Callable[..., Any], examples: list[np.ndarray]) -> core.ClosedJaxpr:
    """Returns the function as equations without loops and without constant subexpressions."""
    closed = jax.make_jaxpr(call)(*examples)
    return jax.make_jaxpr(lambda *xs: _evaluate(closed, xs))(*examples)


def _evaluate(closed: core.ClosedJaxpr, inputs: Sequence[Any]) -> list[Any]:
    """Evaluates the equations: numbers where all inputs are known, else traced anew."""
    jaxpr = closed.jaxpr
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *inputs], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        found = _apply(equation, [read(atom) for atom in equation.invars])
        values.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _apply(equation: Any, xs: list[Any]) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    inner = next((params[key] for key in ("jaxpr", "call_jaxpr") if key in params), None)
    if name == "scan":
        return _unrolled(inner, xs, **params)
    if name in ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "checkpoint"):
        return _evaluate(inner if hasattr(inner, "consts") else core.ClosedJaxpr(inner, ()), xs)
    if name == "optimization_barrier":
        return xs
    if all(map(_known, xs)):
        with jax.ensure_compile_time_eval():
            return _bound(equation, xs)
    if not any(variable.aval.size for variable in equation.outvars):  # a history of no samples
        return [np.zeros(v.aval.shape, v.aval.dtype) for v in equation.outvars]
    if name in _REPLACED:
        result = _REPLACED[name](*xs, **params)
        if result is not None:
            return [result]
    return _bound(equation, xs)


def _bound(equation: Any, xs: list[Any]) -> list[Any]:
    result = equation.primitive.bind(*xs, **equation.primitive.get_bind_params(equation.params))
    return result if equation.primitive.multiple_results else [result]


def _known(x: Any) -> bool:
    return not isinstance(x, jax.core.Tracer)


def _unrolled(
    body: core.ClosedJaxpr, xs: list[Any], *, length: int, reverse: bool, **params: Any
) -> list[Any]:
    """Unrolls a scan: jax2onnx has no reversed ones, and copies constants in each step."""
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, carry, rows = xs[:first], xs[first:last], xs[last:]
    outputs: list[list[Any]] = []
    for step in reversed(range(length)) if reverse else range(length):
        here = [_each(partial(lax.index_in_dim, index=step, keepdims=False), x) for x in rows]
        out = _evaluate(body, [*consts, *carry, *here])
        carry = out[: len(carry)]
        outputs.append(out[len(carry) :])
    columns = zip(*(outputs[::-1] if reverse else outputs), strict=True)
    stacked = ([_each(lambda x: lax.expand_dims(x, (0,)), x) for x in c] for c in columns)
    return [*carry, *(lax.concatenate(parts, 0) for parts in stacked)]


def _each(function: Callable[[Any], Any], x: Any) -> Any:
    """Applies an operation now to constants, else in the graph."""
    with jax.ensure_compile_time_eval() if _known(x) else contextlib.nullcontext():
        return function(x)


def _product(a: Any, b: Any, *, dimension_numbers: Any, **_: Any) -> jax.Array:
    """Writes a dot product as a matrix product, or a batch of them; an Einsum would be slow.

    A product that only moves axes of length 1 becomes a reshape.
    """
    (sum_a, sum_b), (batch_a, batch_b) = dimension_numbers
    rows = [d for d in range(a.ndim) if d not in (*sum_a, *batch_a)]
    columns = [d for d in range(b.ndim) if d not in (*sum_b, *batch_b)]
    batch = math.prod(a.shape[d] for d in batch_a)
    many = (batch,) if batch > 1 else ()
    left = _matrices(a, (*batch_a, *rows), sum_a, many)
    right = _matrices(b, (*batch_b, *sum_b), columns, many)
    axes = ((0,), (0,)) if many else ((), ())
    y = lax.dot_general(left, right, (((left.ndim - 1,), (right.ndim - 2,)), axes))
    shape = [*(a.shape[d] for d in (*batch_a, *rows)), *(b.shape[d] for d in columns)]
    return lax.reshape(y, shape)


def _matrices(x: Any, first: Sequence[int], last: Sequence[int], many: tuple[int, ...]) -> Any:
    order = [*first, *last]
    rows, columns = (math.prod(x.shape[d] for d in axes) for axes in (first, last))
    moved = [d for d in order if x.shape[d] > 1]

    def matrices(x: Any) -> Any:
        if moved != sorted(moved):
            x = lax.transpose(x, order)
        return lax.reshape(x, (*many, rows // math.prod(many), columns))

    return _each(matrices, x)


def _slice(x: Any, *start: Any, slice_sizes: Sequence[int], **_: Any) -> jax.Array | None:
    """Slices with a known start."""
    if not all(map(_known, start)):
        return None
    first = _start(x.shape, slice_sizes, start)
    return lax.slice(x, first, [i + n for i, n in zip(first, slice_sizes, strict=True)])


def _update(x: Any, update: Any, *start: Any, **_: Any) -> jax.Array | None:
    """Updates a slice with a known start, along one axis."""
    axes = [d for d in range(x.ndim) if x.shape[d] != update.shape[d]]
    if not all(map(_known, start)) or len(axes) > 1:
        return None
    if not axes:
        return update
    axis = axes[0]
    first = _start(x.shape, update.shape, start)[axis]
    before = lax.slice_in_dim(x, 0, first, axis=axis)
    after = lax.slice_in_dim(x, first + update.shape[axis], x.shape[axis], axis=axis)
    return _joined(before, update, after, dimension=axis)


def _start(whole: Sequence[int], part: Sequence[int], start: Sequence[Any]) -> list[int]:
    return [min(max(int(i), 0), n - m) for i, n, m in zip(start, whole, part, strict=True)]


def _joined(*parts: Any, dimension: int) -> jax.Array:
    """Concatenates without empty parts, for which ONNX has no shapes."""
    parts = tuple(part for part in parts if part.shape[dimension])
    return parts[0] if len(parts) == 1 else lax.concatenate(parts, dimension)


_REPLACED: dict[str, Callable[..., Any]] = {
    "concatenate": _joined,
    "dot_general": _product,
    "dynamic_slice": _slice,
    "dynamic_update_slice": _update,
}


class _Values:
    """Names of the values that a graph's equations read and make; equal constants share a name.

    Attributes:
        names: names of every variable but the small constants.
        small: constants, which jax2onnx is given as numbers.
        constants: the others, by name.
    """

    def __init__(self, closed: core.ClosedJaxpr, inputs: Iterable[str]):
        """Starts with a graph whose inputs have names."""
        jaxpr = closed.jaxpr
        self.names: dict[Any, str] = dict(zip(jaxpr.invars, inputs, strict=True))
        self.small: dict[Any, np.ndarray] = {}
        self.constants: dict[str, np.ndarray] = {}
        known: dict[Any, str] = {}
        for variable, value in zip(jaxpr.constvars, map(np.asarray, closed.consts), strict=True):
            if value.size <= SHARED or value.dtype != np.float32:
                self.small[variable] = value
                continue
            name = known.setdefault((value.shape, value.tobytes()), f"constant_{len(known)}")
            self.constants[name], self.names[variable] = value, name
        for variable in itertools.chain.from_iterable(e.outvars for e in jaxpr.eqns):
            self.names[variable] = f"value_{len(self.names)}"

    def read(self, atoms: Iterable[Any]) -> dict[str, Any]:
        """Returns the named variables among them."""
        variables = (atom for atom in atoms if not isinstance(atom, core.Literal))
        return {self.names[v]: v for v in variables if v not in self.small}

    def number(self, atom: Any) -> Any:
        """Returns a literal or small constant; None for others."""
        return atom.val if isinstance(atom, core.Literal) else self.small.get(atom)


@dataclasses.dataclass(frozen=True)
class _Piece:
    """Some equations, with the names of their inputs and of their outputs that others read."""

    equations: list[Any]
    inputs: dict[str, Any]
    outputs: dict[str, Any]


def _file(
    closed: core.ClosedJaxpr,
    inputs: Sequence[str],
    outputs: Sequence[str],
    name: str,
    facts: Mapping[str, Any],
    say: Callable[[str], object],
) -> bytes:
    """Converts every piece by jax2onnx, then joins them to one graph."""
    from onnx import TensorProto, checker, helper, numpy_helper

    jaxpr, values = closed.jaxpr, _Values(closed, inputs)
    nodes, tensors = [], {}
    for constant, value in values.constants.items():
        if (value == value.flat[0]).all():  # the zeros before the first row
            shape = numpy_helper.from_array(np.asarray(value.shape, np.int64), f"{constant}_shape")
            one = numpy_helper.from_array(value.flat[:1])
            nodes.append(helper.make_node("ConstantOfShape", [shape.name], [constant], value=one))
            tensors[shape.name] = shape
        else:
            tensors[constant] = numpy_helper.from_array(value, constant)
    for number, piece in enumerate(pieces := _pieces(jaxpr, values)):
        say(f"converting: part {number + 1} of {len(pieces)}")
        nodes += _converted(piece, values, number, tensors)
    for variable, output in zip(jaxpr.outvars, outputs, strict=True):
        number = values.number(variable)
        if number is None:
            nodes.append(helper.make_node("Identity", [values.names[variable]], [output]))
        else:  # the state of a model that remembers nothing
            one = numpy_helper.from_array(np.asarray(number))
            nodes.append(helper.make_node("Constant", [], [output], value=one))

    def described(variables: Sequence[Any], names: Iterable[str]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, variable.aval.shape)
            for variable, name in zip(variables, names, strict=True)
        ]

    taken, given = described(jaxpr.invars, inputs), described(jaxpr.outvars, outputs)
    graph = helper.make_graph(nodes, name, taken, given, list(tensors.values()))
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in facts.items()})
    checker.check_model(model)
    return model.SerializeToString()


def _pieces(jaxpr: Any, values: _Values) -> list[_Piece]:
    """Returns the equations that the outputs depend on, in pieces."""
    needed, equations = values.read(jaxpr.outvars), []
    for equation in reversed(jaxpr.eqns):
        if needed.keys() & values.read(equation.outvars):
            equations.append(equation)
            needed.update(values.read(equation.invars))
    equations.reverse()
    last_read = {name: i for i, e in enumerate(equations) for name in values.read(e.invars)}
    last_read.update(dict.fromkeys(values.read(jaxpr.outvars), len(equations)))
    pieces = []
    for first in range(0, len(equations), PIECE):
        some = equations[first : first + PIECE]
        made = values.read(itertools.chain.from_iterable(e.outvars for e in some))
        read = values.read(itertools.chain.from_iterable(e.invars for e in some))
        inputs = {name: variable for name, variable in read.items() if name not in made}
        end = first + len(some)
        outputs = {name: v for name, v in made.items() if last_read.get(name, 0) >= end}
        pieces.append(_Piece(some, inputs, outputs))
    return pieces


def _converted(piece: _Piece, values: _Values, number: int, tensors: dict[str, Any]) -> list[Any]:
    """Converts a piece to ONNX nodes; adds its constants to `tensors`."""
    from jax2onnx import to_onnx

    def call(*xs: jax.Array) -> list[jax.Array]:
        there = dict(zip(piece.inputs, xs, strict=True))

        def value(atom: Any) -> Any:
            number = values.number(atom)
            return there[values.names[atom]] if number is None else number

        for equation in piece.equations:
            results = _bound(equation, [value(atom) for atom in equation.invars])
            there.update(zip(map(values.names.get, equation.outvars), results, strict=True))
        return [there[name] for name in piece.outputs]

    graph = to_onnx(
        call,
        [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in piece.inputs.values()],
        opset=OPSET,
        input_names=list(piece.inputs),
        output_names=list(piece.outputs),
    ).graph
    renamed = {name: name for name in ("", *piece.inputs, *piece.outputs)}
    for tensor in graph.initializer:  # equal ones of all pieces are one
        inside, tensor.name = tensor.name, ""
        name = f"number_{hashlib.sha256(tensor.SerializeToString()).hexdigest()[:16]}"
        tensor.name = renamed[inside] = name
        tensors[name] = tensor
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [renamed.get(name, f"part_{number}/{name}") for name in field]
        node.ClearField("name")
    return list(graph.node)
