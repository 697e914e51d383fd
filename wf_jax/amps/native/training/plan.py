"""The plan of a window: its signals, its calls, and the order of weights and gradients.

A pass goes through time block by block, backward from the last to the first, and calls all layers
for each: what one layer leaves the next finds in the cache. Only h and a are kept for all of time.
"""

import dataclasses

import numpy as np

from wf_jax.amps.native.training.backward import backward_pass
from wf_jax.amps.native.training.forward import forgetting, forward_pass
from wf_jax.amps.native.training.signals import Call, Draft, Signal
from wf_jax.amps.wavenet import WaveNet
from wf_jax.amps.wavenet_config import WaveNetConfig
from wf_jax.native.target import Target


@dataclasses.dataclass(frozen=True)
class WindowPlan:
    """All calls for one window.

    Attributes:
        window: samples that come out.
        lookback: samples that go in before them.
        length: of the axis of time.
        audio: signal of the input.
        output: signal of the output.
        output_gradient: signal of the gradient that comes in.
        forward: calls from the audio to the sum before the last head.
        playing: the same up to the output, without keeping activations.
        backward: calls from the output's gradient to those of the weights.
        cleared: signals that must be 0 before the backward calls.
        size: of the arena.
        weights: for each number that the code reads, its place among the parameters, counted from
            1; 0 is the number 0.
        gradients: for each parameter its place among the gradients, counted from 1; 0 where the
            output does not depend on it.
        written: number of gradients.
        flops: of a forward pass.
    """

    window: int
    lookback: int
    length: int
    audio: Signal
    output: Signal
    output_gradient: Signal
    forward: tuple[Call, ...]
    playing: tuple[Call, ...]
    backward: tuple[Call, ...]
    cleared: tuple[Signal, ...]
    size: int
    weights: np.ndarray
    gradients: np.ndarray
    written: int
    flops: int


def window_plan(
    config: WaveNetConfig, numbers: WaveNet, parameters: int, window: int, target: Target
) -> WindowPlan:
    """Plans a window of a model.

    Args:
        config: its shape, see `native.shapes.shape_of`.
        numbers: the model, with each parameter's place, counted from 1, in its stead.
        parameters: how many there are.
        window: samples of output.
        target: the processor.
    """
    draft = Draft(config, window, target)
    audio, arrays = forward_pass(draft, numbers)
    forward, head = draft.calls[:-1], draft.calls[-1]
    playing = forgetting(draft, forward)
    draft.calls = []
    gradient, cleared = backward_pass(draft, numbers, audio, arrays)
    return WindowPlan(
        window=window,
        lookback=draft.lookback,
        length=draft.length,
        audio=audio,
        output=arrays[-1].out,
        output_gradient=gradient,
        forward=tuple(forward),
        playing=(*playing, head),
        backward=tuple(draft.calls),
        cleared=tuple(cleared),
        size=draft.size,
        weights=np.concatenate([np.ravel(part) for part in draft.weights]).astype(np.int32),
        gradients=_places(np.concatenate(draft.gradients).astype(np.int64), parameters),
        written=draft.written,
        flops=draft.flops,
    )


def _places(order: np.ndarray, parameters: int) -> np.ndarray:
    """The place of each parameter in an order of them, counted from 1; 0 where there is none."""
    places = np.zeros(parameters + 1, np.int32)
    places[order] = 1 + np.arange(len(order))
    return places[1:]
