"""Play a guitar through a .nam model: python -m experiments.live --model=amp.nam.

The sound system is PortAudio, through the package sounddevice (extra `live`). While it plays, the
path of another model and Enter change to it without a gap; Enter alone, or Ctrl-C, ends. A block of
64 samples at 48 kHz is 1.3 ms; an interface adds its own latency. xruns are blocks that were lost.
"""

import contextlib
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import TextIO

import numpy as np
from absl import app, flags

from experiments.playing.player import LivePlayer, Meter
from experiments.terminal.start import no_arguments, parse_flags, set_up
from wf_jax.amps import load_amp
from wf_jax.amps.model import AmpModel
from wf_jax.errors import UserError
from wf_jax.training.metrics import Progress

_MODEL = flags.DEFINE_string("model", None, "The .nam file")
_SLIM = flags.DEFINE_float(
    "slim", 1.0, "Size of a model that has several: 0 smallest, 1 largest", 0.0, 1.0
)
_INPUT = flags.DEFINE_string("input_device", None, "Number or part of the name; the system's own")
_OUTPUT = flags.DEFINE_string("output_device", None, "Number or part of the name; the system's own")
_CHANNEL = flags.DEFINE_integer("channel", 1, "Which channel of the input, from 1", 1)
_BLOCK = flags.DEFINE_integer("block", 64, "Samples per block", 1, 8192)
_DEVICES = flags.DEFINE_bool("devices", False, "List the devices and end")


def main(argv: list[str]) -> None:
    """Plays until the user ends it."""
    set_up()
    no_arguments(argv, "--model=amp.nam")
    if not _DEVICES.value and not _MODEL.value:
        sys.exit("name a model: --model=amp.nam (--devices lists the devices)")
    try:
        model = None if _DEVICES.value else _load(_MODEL.value)
        system = sound_system()
        if model is None:
            print(system.query_devices())
        else:
            play(system, model)
    except UserError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print(file=sys.stderr)


def sound_system() -> ModuleType:
    """PortAudio.

    Raises:
        UserError: it is not installed, or there is no device.
    """
    try:
        import sounddevice
    except ImportError:
        raise UserError(
            "live audio takes the package sounddevice: pip install sounddevice"
        ) from None
    except OSError as error:
        raise UserError(f"{error}; install it (Debian: apt install libportaudio2)") from None
    if not len(sounddevice.query_devices()):
        raise UserError("PortAudio finds no audio device here; connect an audio interface")
    return sounddevice


def play(system: ModuleType, model: AmpModel, lines: TextIO = sys.stdin) -> None:
    """Plays until a line of `lines` is empty, or they end.

    Raises:
        UserError: a device is not there, or takes no such audio.
    """
    rate = model.sample_rate or 48000.0
    player = LivePlayer(model, rate, _CHANNEL.value - 1)
    stop = threading.Event()
    with opened(system, player, rate):
        meter = threading.Thread(target=_watch, args=(player, stop), daemon=True)
        meter.start()
        try:
            for line in lines:
                if not line.strip():
                    break
                _change(player, line.strip(), rate)
        finally:
            stop.set()
            meter.join()


@contextlib.contextmanager
def opened(system: ModuleType, player: LivePlayer, rate: float) -> Iterator[None]:
    """The devices, playing."""
    devices = [_number(device) for device in (_INPUT.value, _OUTPUT.value)]
    with contextlib.ExitStack() as stack:
        try:
            stream = system.Stream(
                samplerate=rate,
                blocksize=_BLOCK.value,
                device=devices,
                channels=(_CHANNEL.value, None),
                dtype="float32",
                latency="low",
                callback=player.callback,
            )
            stack.enter_context(stream)
        except (system.PortAudioError, ValueError) as error:
            what = " ".join(str(error).split())
            raise UserError(f"{what} (at {rate:g} Hz; --devices lists the devices)") from error
        yield


def _load(path: str) -> AmpModel:
    model = load_amp(path).at_size(_SLIM.value)
    if (model.input_channels, model.output_channels) != (1, 1):
        raise UserError(f"{path}: not a mono model; only those are played")
    return model


def _change(player: LivePlayer, path: str, rate: float) -> None:
    """Goes over to the model in a file, or says why not."""
    try:
        model = _load(path)
        if (model.sample_rate or rate) != rate:
            raise UserError(f"{path}: plays at {model.sample_rate:g} Hz, the devices at {rate:g}")
        player.change(model)
        print(f"plays {path}", file=sys.stderr)
    except UserError as error:
        print(error, file=sys.stderr)


def _watch(player: LivePlayer, stop: threading.Event) -> None:
    progress = Progress()
    while not stop.wait(0.2):
        progress.update(said(player.look(), player.xruns))
    progress.close()


def said(meter: Meter, xruns: int) -> str:
    """The meter in a line."""
    levels = [20 * np.log10(max(level, 1e-5)) for level in (meter.input, meter.output)]
    load = meter.busy / max(meter.seconds, 1e-9)
    return (
        f"in {levels[0]:6.1f} dBFS  out {levels[1]:6.1f} dBFS  load {load:4.0%} "
        f"(slowest block {meter.slowest:4.0%})  {xruns} xruns"
    )


def _number(device: str | None) -> int | str | None:
    return int(device) if device and device.isdigit() else device


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
