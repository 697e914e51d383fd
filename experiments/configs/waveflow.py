"""Train a WaveFlow vocoder on a voice.

    python -m experiments.prepare --input=LJSpeech-1.1 --output=data/lj
    python -m experiments.train --config=experiments/configs/waveflow.py:64 --workdir=runs/lj \
        --config.data.corpus=data/lj

The argument names the model: `64`, `96`, `128`, `256` are the paper's residual channels (8 flows,
h = 16), and `64_h8`, `64_h32`, `64_h64`, ... set the squeeze height; `tiny` is for a laptop, `demo`
trains it on built-in audio.

Expected, from the paper (LJSpeech, 1M steps, nats per sample): 64 4.954, 64_h64 5.023, 128_h32
5.055, 256_h32 5.101. Expected of `tiny`: see the README.
"""

import dataclasses
import re

from experiments.configs.running import Checkpoints
from wf_jax.audio.mel import MelSettings
from wf_jax.flows.waveflow_config import WaveFlowConfig


@dataclasses.dataclass
class Data:
    """The corpus.

    Attributes:
        corpus: a folder that `experiments.prepare` wrote; "demo" for the built-in audio.
        window: training samples per window.
    """

    corpus: str = ""
    window: int = 16000


@dataclasses.dataclass
class Mel:
    """What the conditioner sees: see wf_jax.audio.mel.MelSettings. The rate is the corpus's."""

    fft_size: int = MelSettings.fft_size
    hop: int = MelSettings.hop
    window_length: int = MelSettings.window_length
    bands: int = MelSettings.bands
    low_hz: float = MelSettings.low_hz
    high_hz: float = MelSettings.high_hz
    floor: float = MelSettings.floor
    center: bool = MelSettings.center
    peak_normalise: bool = MelSettings.peak_normalise


@dataclasses.dataclass
class Model:
    """The model: see wf_jax.flows.config.WaveFlowConfig."""

    height: int = WaveFlowConfig.height
    flows: int = WaveFlowConfig.flows
    layers: int = WaveFlowConfig.layers
    channels: int = WaveFlowConfig.channels
    kernel: int = WaveFlowConfig.kernel
    permutation: str = WaveFlowConfig.permutation
    height_dilations: tuple[int, ...] = ()
    upsample_factors: tuple[int, ...] = (16, 16)
    compute_dtype: str = WaveFlowConfig.compute_dtype
    matmul_precision: str = WaveFlowConfig.matmul_precision


@dataclasses.dataclass
class Train:
    """How it is trained.

    Attributes:
        steps: length of the run, unless `minutes` is above 0.
        minutes: wall-clock budget, compilation and evaluations included.
        learning_rate: of Adam.
        decay: factor on it over the run, in equal ratios; 1.0 for none.
        epochs: to how many such factors the run goes; 1 for one.
        batch_size: windows per step, over all devices.
        clip_norm: greatest norm of the gradient; 0 for no limit.
        average_decay: of the moving average of the weights, per step; 0 for none.
        dequantise: add noise of one int16 step to the audio.
        evaluate_every: steps between evaluations of the held-out clips.
        samples_every: evaluations between audio samples and pictures.
        accumulate: parts of a batch, computed one after the other for their memory's sake.
        substeps: steps per dispatch, for a model whose step is shorter than the host's work.
        shards: devices that the state of a large model is split over.
        seed: of weights, windows and noise.
    """

    steps: int = 1_000_000
    minutes: float = 0.0
    learning_rate: float = 2e-4
    decay: float = 1.0
    epochs: int = 1
    batch_size: int = 8
    clip_norm: float = 0.0
    average_decay: float = 0.0
    dequantise: bool = False
    evaluate_every: int = 2000
    samples_every: int = 5
    accumulate: int = 1
    substeps: int = 1
    shards: int = 1
    seed: int = 0


@dataclasses.dataclass
class Config:
    """A vocoder run."""

    task: str = "vocoder"
    data: Data = dataclasses.field(default_factory=Data)
    mel: Mel = dataclasses.field(default_factory=Mel)
    model: Model = dataclasses.field(default_factory=Model)
    train: Train = dataclasses.field(default_factory=Train)
    checkpoints: Checkpoints = dataclasses.field(default_factory=Checkpoints)


def get_config(argument: str = "64") -> Config:
    """The model that the argument names: CHANNELS, CHANNELS_hHEIGHT, tiny or demo.

    Raises:
        ValueError: the argument is none of them.
    """
    config = Config()
    if argument in ("tiny", "demo"):
        config.data.window = 4000
        config.model = Model(flows=4, layers=5, channels=16)
        config.train = Train(
            steps=5_000,
            learning_rate=4e-3,
            decay=0.05,
            batch_size=4,
            clip_norm=5.0,
            average_decay=0.99,
            evaluate_every=500,
        )
        if argument == "demo":
            config.data.corpus = "demo"
            config.train.steps = 250
            config.train.evaluate_every = 125
            config.train.samples_every = 1000
        return config
    match = re.fullmatch(r"(?:waveflow_)?(64|96|128|256)(?:_h(8|16|32|64))?", argument)
    if match is None:
        raise ValueError(
            f"waveflow.py:{argument} does not exist; use tiny, demo, or channels 64, 96, 128 or "
            "256 with a height, e.g. waveflow.py:64 or waveflow.py:128_h32"
        )
    config.model.channels = int(match[1])
    config.model.height = int(match[2] or 16)
    return config
