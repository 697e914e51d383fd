"""A checkpoint's arrays by name, each used exactly once, and the weight-normed layers in it."""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from wf_jax.array_files import shown
from wf_jax.errors import UserError
from wf_jax.flows.config import FlowConfig
from wf_jax.flows.families import new_flow
from wf_jax.flows.flow import Flow
from wf_jax.modules import split

Arrays = Mapping[str, np.ndarray]


class StateDict:
    """A checkpoint's arrays, each to be used exactly once."""

    def __init__(self, arrays: Arrays) -> None:
        """Drops the `module.` that data-parallel training puts before every name."""
        whole = bool(arrays) and all(name.startswith("module.") for name in arrays)
        self.arrays = {
            name.removeprefix("module.") if whole else name: np.asarray(value)
            for name, value in arrays.items()
        }

    def has(self, name: str) -> bool:
        """Returns True if an array of that name is still there."""
        return name in self.arrays

    def take(self, name: str, *shapes: tuple[int, ...]) -> np.ndarray:
        """Takes the float32 array of that name, which has one of the shapes.

        Raises:
            UserError: it is missing, of another shape or not finite.
        """
        if name not in self.arrays:
            raise UserError(
                f"{name}: missing, expected with shape {shapes[0]}; check --source and that the "
                f"configuration belongs to this file, which {self._contents()}"
            )
        value = self.arrays.pop(name)
        if value.shape not in shapes:
            expected = " or ".join(map(str, shapes))
            raise UserError(
                f"{name}: shape {value.shape}, expected {expected}; use the configuration that "
                "belongs to this file"
            )
        value = value.astype(np.float32)
        if not np.isfinite(value).all():
            raise UserError(
                f"{name}: shape {value.shape} holds a value that is not finite; take an earlier "
                "checkpoint"
            )
        return value

    def layer(self, name: str, *shapes: tuple[int, ...]) -> "Layer":
        """Takes a layer in any of the spellings of weight norm, or after its removal.

        Args:
            name: what stands before `.weight_v`, `.bias` and so on.
            shapes: of the kernel [O, I, ...]; any of them.

        Raises:
            UserError: as `take`.
        """
        for gain_name, kernel_name in (
            ("weight_g", "weight_v"),
            ("parametrizations.weight.original0", "parametrizations.weight.original1"),
        ):
            if self.has(f"{name}.{gain_name}") or self.has(f"{name}.{kernel_name}"):
                kernel = self.take(f"{name}.{kernel_name}", *shapes)
                count, column = len(kernel), (len(kernel), *[1] * (kernel.ndim - 1))
                gain = self.take(f"{name}.{gain_name}", (count,), column).reshape(-1)
                break
        else:
            kernel = self.take(f"{name}.weight", *shapes)
            count, gain = len(kernel), np.sqrt(np.square(kernel).sum(_inputs(kernel)))
        # Parakeet of 2019 wraps each layer: its bias is one level down.
        bias = f"{name}.layer.bias" if self.has(f"{name}.layer.bias") else f"{name}.bias"
        return Layer(*_directed(kernel, gain), self.take(bias, (count,)))

    def finish(self) -> None:
        """Checks that nothing is left over.

        Raises:
            UserError: something is.
        """
        if self.arrays:
            names = sorted(self.arrays)
            shapes = [f"{shown(name)} {self.arrays[name].shape}" for name in names[:5]]
            rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise UserError(
                f"{', '.join(shapes)}{rest}: expected none of these; use the configuration that "
                "belongs to this file"
            )

    def _contents(self) -> str:
        names = sorted(self.arrays)
        return (
            f"still has {len(names)} others, first {shown(names[0])}" if names else "has no others"
        )


@dataclasses.dataclass(frozen=True)
class Layer:
    """A weight-normed layer as a source has it: direction [O, I, ...], norms [O] and bias [O]."""

    kernel: np.ndarray
    gain: np.ndarray
    bias: np.ndarray

    def outputs(self, which: slice) -> "Layer":
        """Selects some of the outputs, whose norms do not change: the norm is taken per output."""
        return Layer(self.kernel[which], self.gain[which], self.bias[which])

    def named(
        self, name: str, arrange: Callable[[np.ndarray], np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Returns our parameters of a `WeightNorm` at `name`, its kernel arranged as ours."""
        parts = {"kernel": arrange(self.kernel), "gain": self.gain, "bias": self.bias}
        return {f"{name}/{part}": value for part, value in parts.items()}


def matrix(kernel: np.ndarray) -> np.ndarray:
    """Returns the layer with kernel [O, I, 1, ...] as a matrix [I, O]."""
    return kernel.reshape(kernel.shape[:2]).T


def residual_and_skip(arrays: StateDict, name: str, channels: int, taps: int, last: bool) -> Layer:
    """Takes the 1x1 layer of residual and skip, with `taps` axes of length 1.

    The last one has a skip half only; where it has both, nothing reads the first.
    """
    ones = (1,) * taps
    whole, skip = (2 * channels, channels, *ones), (channels, channels, *ones)
    layer = arrays.layer(name, *((skip, whole) if last else (whole,)))
    return layer.outputs(slice(-channels, None)) if last else layer


def stacked(flows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Stacks the parameters of equal flows on a leading axis."""
    return {name: np.stack([flow[name] for flow in flows]) for name in flows[0]}


def module(config: FlowConfig, params: dict[str, np.ndarray]) -> Flow:
    """Builds the model with these parameters."""
    definition, _ = split(jax.eval_shape(lambda: new_flow(config, np.random.default_rng(0))))
    return definition({name: jnp.asarray(value) for name, value in params.items()})


def _inputs(kernel: np.ndarray) -> tuple[int, ...]:
    """Returns all axes but the outputs'."""
    return tuple(range(1, kernel.ndim))


def _directed(kernel: np.ndarray, gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gives an output whose weights are all zero some direction, with norm zero."""
    dead = ~kernel.any(_inputs(kernel), keepdims=True)
    return np.where(dead, np.float32(1), kernel), np.where(dead.reshape(-1), 0, gain)
