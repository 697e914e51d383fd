"""Models and arenas for the tests of the native engine."""

import ctypes
import itertools
import mmap

import numpy as np

from tests.amps.nam_examples import EXAMPLES
from wf_jax.amps.activations import Activation
from wf_jax.amps.model import AmpModel
from wf_jax.amps.nam_file import parse
from wf_jax.amps.nam_models import model_of
from wf_jax.amps.wavenet import WaveNet
from wf_jax.amps.wavenet_config import LayerArrayConfig, WaveNetConfig
from wf_jax.amps.weights import Uniform
from wf_jax.native.memory import address

PAGE = mmap.PAGESIZE
NONE, READ_WRITE = 0, 3  # of mprotect
_NUMBERS = itertools.count()  # XLA never forgets a name


def example(name: str) -> AmpModel:
    """A small model that has a feature of the format."""
    return model_of(parse(EXAMPLES[name](), f"{name}.nam"))


def a1(channels: tuple[int, int], dilations: tuple[int, ...] = (1, 2, 4, 8, 512)) -> WaveNet:
    """An A1 model of so many channels in its arrays, with fewer dilations than A1 has."""

    def array(inputs: int, width: int, head: int, bias: bool) -> LayerArrayConfig:
        return LayerArrayConfig(
            input_size=inputs,
            condition_size=1,
            channels=width,
            bottleneck=width,
            kernel_sizes=(3,) * len(dilations),
            dilations=dilations,
            activations=(Activation("Tanh"),) * len(dilations),
            head_channels=head,
            head_bias=bias,
        )

    first, second = channels
    config = WaveNetConfig((array(1, first, second, False), array(first, second, 1, True)))
    return WaveNet(config, head_scale=0.02, weights=Uniform(np.random.default_rng(3)))


def noise(model: AmpModel, length: int) -> np.ndarray:
    """Float32 [length], or [channels, length] of several inputs."""
    shape = (model.input_channels, length) if model.input_channels > 1 else length
    return 0.3 * np.random.default_rng(5).normal(size=shape).astype(np.float32)


def in_blocks(player, x: np.ndarray, blocks: tuple[int, ...]) -> np.ndarray:
    """Plays x [..., T] in blocks of the given sizes, over and over."""
    outputs, start, i = [], 0, 0
    while start < x.shape[-1]:
        block = x[..., start : start + blocks[i % len(blocks)]]
        outputs.append(player(block))
        start, i = start + block.shape[-1], i + 1
    return np.concatenate(outputs, axis=-1)


def forgetting(monkeypatch, module, cache):
    """Forgets the compiled code that a module keeps in `cache`; returns what does it again."""

    def forget():
        monkeypatch.setattr(module, cache, {})
        monkeypatch.setattr(module, "PREFIX", f"test_{next(_NUMBERS)}")

    forget()
    return forget


class Guarded:
    """A float32 array that ends, or begins, where touching the next byte ends the process."""

    def __init__(self, size: int, at_end: bool):
        """Makes zeros [size] behind or before pages that nobody may touch."""
        pages = -(-4 * size // PAGE)
        self._map = mmap.mmap(-1, (pages + 2) * PAGE)
        whole = np.frombuffer(self._map, np.uint8)
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for page in (0, pages + 1):
            assert protect(address(whole) + page * PAGE, PAGE, NONE) == 0
        start = PAGE + (pages * PAGE - 4 * size if at_end else 0)
        self.array = whole[start : start + 4 * size].view(np.float32)
