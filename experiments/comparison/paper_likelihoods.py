"""The WaveFlow paper's table 4: log-likelihood of held-out LJSpeech after a million steps.

Ping, Peng, Zhao and Song, "WaveFlow: A Compact Flow-based Model for Raw Audio", ICML 2020. Nats per
sample at full scale 1. Its evaluations in sequence are counted as here: for a second of 22,050 Hz
audio, the first row of a WaveFlow being free.
"""

import dataclasses

RATE = 22050


@dataclasses.dataclass(frozen=True)
class Row:
    """A model of the table.

    Attributes:
        name: name of the model.
        label: the same where there is little room.
        family: see `FlowConfig.family`.
        parameters: number of parameters as printed.
        sequential_steps: for a second of audio.
        log_likelihood: nats per sample.
    """

    name: str
    label: str
    family: str
    parameters: str
    sequential_steps: int
    log_likelihood: float


def _flow(height: int, flows: int, channels: int, parameters: str, value: float) -> Row:
    name = f"WaveFlow h={height}, {channels} channels" + (f", {flows} flows" if flows != 8 else "")
    return Row(name, f"{height}/{channels}", "WaveFlow", parameters, flows * (height - 1), value)


def _glow(flows: int, channels: int, parameters: str, value: float) -> Row:
    name = f"WaveGlow, {channels} channels" + (f", {flows} flows" if flows != 12 else "")
    return Row(name, str(channels), "WaveGlow", parameters, flows, value)


ROWS = {
    "a": Row("Gaussian WaveNet, 128 channels", "128", "WaveNet", "4.57M", RATE, 5.059),
    "b": Row("autoregressive flow, 128 channels", "flow, 128", "WaveNet", "4.54M", 3 * RATE, 5.161),
    "c": _glow(12, 64, "17.59M", 4.804),
    "d": _glow(12, 128, "34.83M", 4.927),
    "e": _glow(6, 256, "47.22M", 4.922),
    "f": _glow(12, 256, "87.88M", 5.018),
    "g": _glow(12, 512, "268.29M", 5.026),
    "h": _flow(8, 8, 64, "5.91M", 4.935),
    "i": _flow(16, 8, 64, "5.91M", 4.954),
    "j": _flow(32, 8, 64, "5.91M", 5.002),
    "k": _flow(64, 8, 64, "5.91M", 5.023),
    "l": _flow(8, 6, 96, "9.58M", 4.946),
    "m": _flow(8, 8, 96, "12.78M", 4.977),
    "n": _flow(16, 8, 96, "12.78M", 5.007),
    "o": _flow(16, 6, 128, "16.69M", 4.990),
    "p": _flow(8, 8, 128, "22.25M", 5.009),
    "q": _flow(16, 8, 128, "22.25M", 5.028),
    "r": _flow(32, 8, 128, "22.25M", 5.055),
    "s": _flow(16, 8, 256, "86.18M", 5.064),
    "t": _flow(32, 8, 256, "86.18M", 5.101),
}
