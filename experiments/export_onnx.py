"""Write a model as one ONNX file, for programs without Python or JAX.

    python -m experiments.export_onnx --model=WORKDIR|FOLDER --output=DIR --frames=128
    python -m experiments.export_onnx --model=amp.nam --output=amp.onnx --block=64

A vocoder (WaveFlow or WaveGlow) becomes mel [1, M, F], noise [1, F * hop] (standard normal) and
temperature [] -> audio [1, F * hop]; an amp becomes state [1, S] and x [1, N] -> new_state, y, where
a state that is left away is the one after endless silence. All sizes are fixed, all numbers
float32. What onnxruntime makes of the file is compared with JAX before anything is written.

It needs jax2onnx, which wants an environment of its own: see experiments/onnx_requirements.txt.
"""

import dataclasses
import importlib.util
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from jax import lax
from jax.extend import core

from experiments.launch import quiet
from experiments.workdir import WorkdirError, model_folder
from wf_jax.amps import NamFileError, load_nam
from wf_jax.amps.model import AmpModel
from wf_jax.atomic import why, write_whole
from wf_jax.export.functions import amp_functions
from wf_jax.flows.families import new_flow
from wf_jax.flows.flow import Flow
from wf_jax.flows.model_folder import ModelFolderError, load_model
from wf_jax.modules import split
from wf_jax.training.metrics import Progress

OPSET, IR_VERSION = 18, 8  # onnxruntime 1.14 and later
TOLERANCE = 1e-5  # greatest difference from JAX, of the output's greatest magnitude
TRIALS = 3  # inputs of a vocoder
BLOCKS = 8  # consecutive blocks of an amp
PIECE = 150  # equations that jax2onnx converts at once: its time grows with their square
SHARED = 64  # numbers from which on a constant is kept once for all pieces

_MODEL = flags.DEFINE_string("model", None, "Folder of a run or a converted model, or a .nam file")
_OUTPUT = flags.DEFINE_string("output", None, "The .onnx file to write, or a folder for it")
_FRAMES = flags.DEFINE_integer("frames", 128, "Mel frames that a vocoder synthesises at once", 1)
_BLOCK = flags.DEFINE_integer("block", 64, "Samples that an amp plays at once", 1)
_SLIM = flags.DEFINE_float(
    "slim", 1.0, "Size of an amp that has several: 0 smallest, 1 largest", 0.0, 1.0
)


class ExportError(ValueError):
    """A model that cannot be exported; one line."""


@dataclasses.dataclass(frozen=True)
class Program:
    """What one file computes.

    Attributes:
        name: of the file, where only a folder is given.
        call: arrays -> tuple of arrays, of float32.
        expected: gives the same in the way that JAX computes it best.
        inputs: examples by name, in order.
        outputs: names, in order.
        defaults: inputs that may be left away.
        facts: what a user of the file must know.
    """

    name: str
    call: Callable[..., tuple[jax.Array, ...]]
    expected: Callable[..., tuple[jax.Array, ...]]
    inputs: dict[str, np.ndarray]
    outputs: tuple[str, ...]
    defaults: dict[str, np.ndarray]
    facts: dict[str, Any]


def main(argv: list[str]) -> None:
    """Converts one model, checks the result and writes it."""
    quiet()
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; options look like --output=DIR")
    if math.isnan(_SLIM.value):
        sys.exit("--slim=nan is not a number from 0 to 1")
    try:
        program = _program(_MODEL.value)
        path = _target(Path(_OUTPUT.value), program.name)
        _need_packages()
        content, difference = _checked(program)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda file: file.write(content))
    except (ExportError, ModelFolderError, NamFileError, WorkdirError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename or _OUTPUT.value}: cannot be written: {why(error)}")
    except KeyboardInterrupt:
        sys.exit(f"\n{_OUTPUT.value}: stopped; nothing was written")
    shapes = ", ".join(f"{name} {list(x.shape)}" for name, x in program.inputs.items())
    print(
        f"{path}: {len(content) / 1e6:.2f} MB, {shapes} -> {', '.join(program.outputs)}; "
        f"greatest difference from JAX {difference:.1e} of the output's scale"
    )


def _need_packages() -> None:
    missing = [n for n in ("jax2onnx", "onnxruntime") if importlib.util.find_spec(n) is None]
    if missing:
        raise ExportError(
            f"{' and '.join(missing)} not installed; make an environment for it: python3 -m venv "
            ".onnx && .onnx/bin/pip install -r experiments/onnx_requirements.txt, then use "
            ".onnx/bin/python"
        )


def _target(output: Path, name: str) -> Path:
    if output.suffix != ".onnx":
        return output / f"{name}.onnx"
    if output.is_dir():
        raise ExportError(f"{output}: is a folder; give the name of a file in it")
    return output


def _program(model: str) -> Program:
    if model.endswith(".nam"):
        return _amp(load_nam(model).at_size(_SLIM.value), _BLOCK.value)
    flow = load_model(model_folder(Path(model)))
    if flow.config.context_samples is None:
        raise ExportError(
            f"{model}: a {flow.config.family} computes one sample after another, which no ONNX "
            "file is made of; give a WaveFlow or a WaveGlow"
        )
    return _vocoder(flow, _FRAMES.value)


def _vocoder(model: Flow, frames: int) -> Program:
    """Synthesis of `frames` frames in float32."""
    settings, noise = model.config.mel, frames * model.config.mel.hop

    def with_precision(precision: str) -> Callable[..., tuple[jax.Array, ...]]:
        config = dataclasses.replace(
            model.config, compute_dtype="float32", matmul_precision=precision
        )
        shapes = jax.eval_shape(lambda: new_flow(config, np.random.default_rng(0)))
        flow = split(shapes)[0](split(model)[1])

        def call(mel: jax.Array, noise: jax.Array, temperature: jax.Array) -> tuple[jax.Array, ...]:
            seeds = jnp.zeros(1, jnp.uint32)  # of no use where there is a latent
            return (flow.generate(noise, seeds, mel, temperature=temperature),)

        return call

    return Program(
        name=f"synthesize_{frames}",
        call=with_precision("default"),  # plain sums instead of Toom-Cook's: half as many nodes
        expected=with_precision("highest"),
        inputs={
            "mel": np.zeros((1, settings.bands, frames), np.float32),
            "noise": np.zeros((1, noise), np.float32),
            "temperature": np.zeros((), np.float32),
        },
        outputs=("audio",),
        defaults={"temperature": np.ones((), np.float32)},
        facts={"family": model.config.family, "mel": dataclasses.asdict(settings)},
    )


def _amp(model: AmpModel, block: int) -> Program:
    """The next `block` samples of an amp."""
    _, params = split(model)
    functions = {function.name: function for function in amp_functions(model, [block])}
    state = np.asarray(jax.jit(functions["init_state"].call)(params), np.float32)[None]
    inputs = model.input_channels
    step = functions[f"step_{block}"].call

    def call(state: jax.Array, x: jax.Array) -> tuple[jax.Array, ...]:
        return step(params, state, x)

    return Program(
        name=f"step_{block}",
        call=call,
        expected=call,
        inputs={
            "state": state,
            "x": np.zeros((1, block) if inputs == 1 else (1, inputs, block), np.float32),
        },
        outputs=("new_state", "y"),
        defaults={"state": state},
        facts={"sample_rate": model.sample_rate, "receptive_field": model.receptive_field},
    )


def _checked(program: Program) -> tuple[bytes, float]:
    """The file, and the greatest relative difference of its results.

    Raises:
        ExportError: jax2onnx cannot convert it, or the results differ.
    """
    progress = Progress()
    progress.update("tracing")
    try:
        content = _convert(_simplified(program), program, progress)
    # Which of them depends on the part of jax2onnx that does not know an operation.
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"jax2onnx cannot convert it: {type(error).__name__}: {reason}") from None
    difference = _difference(content, program)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"onnxruntime and JAX differ by {difference:.1e} of the output's scale, more than the "
            f"{TOLERANCE:.0e} allowed; nothing was written"
        )
    return content, difference


def _difference(content: bytes, program: Program) -> float:
    """Of vocoders over a few draws, of amps over consecutive blocks, each with its own state."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    expected, rng = jax.jit(program.expected), np.random.default_rng(0)
    ours: dict[str, np.ndarray] = {}  # the state; at first its default
    theirs, worst = dict(program.defaults), []
    for _ in range(TRIALS):
        drawn = {name: draw(rng) for name, draw in program.draws.items()}
        found = session.run(None, {**ours, **drawn})
        wanted = expected(*({**theirs, **drawn}[name] for name in program.inputs))
        worst += map(_relative, found, wanted)
        if "state" in program.inputs:
            ours, theirs = {"state": found[0]}, {"state": wanted[0]}
    return float(np.max(worst))  # not a number if any is


def _relative(found: np.ndarray, wanted: jax.Array) -> float:
    scale = np.abs(wanted).max(initial=np.finfo(np.float32).tiny)
    return np.abs(found - wanted).max(initial=0.0) / scale


# From here on: a JAX function as an ONNX graph.


def _simplified(program: Program) -> core.ClosedJaxpr:
    """The program as one flat list of equations without loops, of constants what is left of them."""
    examples = list(program.inputs.values())
    closed = jax.make_jaxpr(program.call)(*examples)
    return jax.make_jaxpr(lambda *xs: _evaluate(closed, xs))(*examples)


def _evaluate(closed: core.ClosedJaxpr, inputs: Sequence[Any]) -> list[Any]:
    """What the equations give: numbers where all they depend on is known, else traced anew."""
    jaxpr = closed.jaxpr
    values = dict(
        zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *inputs], strict=True)
    )

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
    if name in _REPLACED:
        result = _REPLACED[name](*map(_embedded, xs), **params)
        if result is not None:
            return [result]
    return _bound(equation, [_embedded(x) for x in xs])


def _bound(equation: Any, xs: list[Any]) -> list[Any]:
    result = equation.primitive.bind(*xs, **equation.primitive.get_bind_params(equation.params))
    return result if equation.primitive.multiple_results else [result]


def _known(x: Any) -> bool:
    return not isinstance(x, jax.core.Tracer)


def _embedded(x: Any) -> Any:
    """A constant as the graph has it: many equal numbers as one."""
    if _known(x) and np.size(x) > SHARED:
        x = np.asarray(x)
        if (x == x.flat[0]).all():
            return lax.full(x.shape, x.flat[0], x.dtype)
    return x


def _unrolled(
    body: core.ClosedJaxpr, xs: list[Any], *, length: int, reverse: bool, **params: Any
) -> list[Any]:
    """A scan step by step: jax2onnx has no reversed ones, and others copy constants every time."""
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, carry, rows = xs[:first], xs[first:last], xs[last:]
    outputs: list[list[Any]] = []
    for step in reversed(range(length)) if reverse else range(length):
        here = [lax.index_in_dim(x, step, keepdims=False) for x in map(_array, rows)]
        out = _evaluate(body, [*consts, *carry, *here])
        carry = out[: len(carry)]
        outputs.append(out[len(carry) :])
    columns = zip(*(outputs[::-1] if reverse else outputs), strict=True)
    return [*carry, *(lax.concatenate([x[None] for x in map(_array, c)], 0) for c in columns)]
