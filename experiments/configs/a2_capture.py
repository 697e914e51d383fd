"""Captures an amp as a Neural Amp Modeler A2 model, nano and standard together.

    python -m experiments.train --config=a2_capture --workdir=runs/amp \
        --config.data.input=di.wav --config.data.output=amp.wav --config.train.minutes=10

`--config.data.teacher=X.nam` in place of the recordings turns any capture into A2.

`a2_capture:demo` captures the built-in amp instead and needs no files.

Expected of a minute of DI through a high-gain amp: ESR 0.051 (nano) and 0.022 (standard) after 300
steps of 16 windows; of the demo 0.0020 and 0.0010 after 382 of 8. With train.optimizer=adam 0.050
and 0.023 after 2,300 steps, the demo 0.008 and 0.002 after 500.
"""

from experiments.capture.config import CaptureConfig, Data


def get_config(argument: str = "") -> CaptureConfig:
    """Returns the default capture, or with the argument "demo" the built-in one.

    Raises:
        ValueError: the argument is neither.
    """
    config = CaptureConfig(source="a2_capture")
    if argument == "demo":
        config.source = "a2_capture:demo"
        config.data = Data(input="demo")
        config.train.minutes = 0.8
    elif argument:
        raise ValueError(f"a2_capture:{argument} does not exist; use a2_capture:demo")
    return config
