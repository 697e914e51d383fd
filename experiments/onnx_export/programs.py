"""Programs of vocoders and amps for ONNX files, and their check in onnxruntime."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.onnx_export.graph import convert
from wf_jax.amps.model import AmpModel
from wf_jax.errors import UserError
from wf_jax.export.functions import amp_functions, reconfigured
from wf_jax.flows.flow import Flow
from wf_jax.modules import split
from wf_jax.training.metrics import Progress

TOLERANCE = 1e-5  # greatest difference from JAX, of the output's greatest magnitude
TRIALS = 3  # inputs of a vocoder
BLOCKS = 8  # consecutive blocks of an amp

Call = Callable[..., tuple[jax.Array, ...]]


@dataclasses.dataclass(frozen=True)
class Program:
    """The float32 computation of one file.

    Attributes:
        name: file name, where only a folder is given.
        call: arrays -> tuple of arrays, as it is converted.
        expected: the same, as JAX computes it best.
        draws: the inputs by name, in order, each as a function that draws an example.
        outputs: names, in order.
        facts: facts for users of the file.
        state: initial value of the input of this name; amps only.
    """

    name: str
    call: Call
    expected: Call
    draws: dict[str, Callable[[np.random.Generator], np.ndarray]]
    outputs: tuple[str, ...]
    facts: dict[str, Any]
    state: np.ndarray | None = None

    def examples(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draws example inputs."""
        return {name: draw(rng).astype(np.float32) for name, draw in self.draws.items()}


def vocoder(model: Flow, frames: int) -> Program:
    """Makes the synthesis of `frames` frames."""
    settings = model.config.mel

    def with_precision(precision: str) -> Call:
        flow = reconfigured(model, compute_dtype="float32", matmul_precision=precision)

        def call(mel: jax.Array, noise: jax.Array, temperature: jax.Array) -> tuple[jax.Array, ...]:
            seeds = jnp.zeros(1, jnp.uint32)  # of no use to a flow that has a latent
            return (flow.generate(noise, seeds, mel, temperature=temperature),)

        return call

    return Program(
        name=f"synthesize_{frames}",
        # Plain sums instead of Toom-Cook's: float32 too, and 1,800 nodes instead of 4,200.
        call=with_precision("default"),
        expected=with_precision("highest"),
        draws={
            "mel": lambda rng: rng.normal(-5.0, 2.0, (1, settings.n_mels, frames)),
            "noise": lambda rng: rng.standard_normal((1, frames * settings.hop_length)),
            "temperature": lambda rng: np.asarray(rng.uniform(0.5, 1.0)),
        },
        outputs=("audio",),
        facts={"family": model.config.family, "mel": dataclasses.asdict(settings)},
    )


def amp(model: AmpModel, block: int) -> Program:
    """Makes the computation of the next `block` samples."""
    _, params = split(model)
    functions = {function.name: function for function in amp_functions(model, [block])}
    state = np.asarray(jax.jit(functions["init_state"].call)(params), np.float32)[None]
    inputs, step = model.input_channels, functions[f"step_{block}"].call
    shape = (1, block) if inputs == 1 else (1, inputs, block)

    def call(state: jax.Array, x: jax.Array) -> tuple[jax.Array, ...]:
        return step(params, state, x)

    return Program(
        name=f"step_{block}",
        call=call,
        expected=call,
        draws={"state": lambda rng: state, "x": lambda rng: rng.normal(0.0, 0.2, shape)},
        outputs=("new_state", "y"),
        facts={"sample_rate": model.sample_rate, "receptive_field": model.receptive_field},
        state=state,
    )


def checked(program: Program) -> tuple[bytes, float]:
    """Makes the file, and returns the largest relative difference of its results.

    Raises:
        UserError: the model has what ONNX tools cannot do, or the results differ.
    """
    progress = Progress()
    progress.update("tracing")
    try:
        examples = program.examples(np.random.default_rng(0))
        content = convert(
            program.call, examples, program.outputs, program.name, program.facts, progress.update
        )
        difference = _difference(content, program)
    except Exception as error:  # each part of jax2onnx has its own for what it cannot do
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{program.name}: the ONNX tools cannot do it: {type(error).__name__}: {reason}"
        ) from None
    finally:
        progress.close()
    if not difference <= TOLERANCE:
        raise UserError(
            f"onnxruntime and JAX differ by {difference:.1e} of the output's scale, more than the "
            f"{TOLERANCE:.0e} allowed; nothing was written"
        )
    return content, difference


def _difference(content: bytes, program: Program) -> float:
    """Compares vocoders over a few draws, amps over consecutive blocks with their own state."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    expected, rng, worst = jax.jit(program.expected), np.random.default_rng(0), []
    found = wanted = [program.state]
    for _ in range(TRIALS if program.state is None else BLOCKS):
        feed = program.examples(rng)
        both = feed, dict(feed)
        if program.state is not None:
            both[0]["state"], both[1]["state"] = found[0], wanted[0]
        found, wanted = session.run(None, both[0]), expected(*both[1].values())
        worst += map(_relative, found, wanted)
    return float(np.max(worst))  # not a number if any is


def _relative(found: np.ndarray, wanted: jax.Array) -> float:
    scale = np.abs(wanted).max(initial=np.finfo(np.float32).tiny)
    return np.abs(found - wanted).max(initial=0.0) / scale
