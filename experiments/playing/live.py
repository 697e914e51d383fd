"""Plays a guitar through a model between two devices, and changes the model meanwhile."""

import contextlib
import dataclasses
import math
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, TextIO

from wf_jax.errors import UserError
from wf_jax.training.metrics import Progress

if TYPE_CHECKING:
    from experiments.playing.player import LivePlayer, Meter
    from wf_jax.amps.model import AmpModel


@dataclasses.dataclass(frozen=True)
class Connection:
    """Devices, and how a model plays between them; see the flags of experiments.live."""

    model: str | None = None
    slim: float = 1.0
    input_device: str | None = None
    output_device: str | None = None
    channel: int = 1
    block: int = 64
    devices: bool = False


def live(connection: Connection) -> None:
    """Plays through a .nam file until the user ends it, or lists the devices.

    Raises:
        UserError: the file cannot be used; there is no device, or it takes no such audio.
    """
    if connection.devices:
        return print(sound_system().query_devices())
    if not connection.model:
        raise UserError("name a model: --model=amp.nam (--devices lists the devices)")
    try:
        amp = _load(connection.model, connection.slim)
        play(sound_system(), amp, connection)
    except KeyboardInterrupt:  # one of the ways to end it
        print(file=sys.stderr)
    return None


def sound_system() -> ModuleType:
    """Returns PortAudio.

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


def play(
    system: ModuleType, model: "AmpModel", connection: Connection, lines: TextIO = sys.stdin
) -> None:
    """Plays until a line of `lines` is empty, or they end; other lines name the next model.

    Raises:
        UserError: a device is not there, or takes no such audio.
    """
    from experiments.playing.player import LivePlayer  # and with it JAX

    rate = model.sample_rate or 48000.0
    player = LivePlayer(model, rate, connection.channel - 1)
    stop = threading.Event()
    with _opened(system, player, rate, connection):
        meter = threading.Thread(target=_watch, args=(player, stop), daemon=True)
        meter.start()
        try:
            for line in lines:
                if not line.strip():
                    break
                _change(player, line.strip(), rate, connection.slim)
        finally:
            stop.set()
            meter.join()


@contextlib.contextmanager
def _opened(
    system: ModuleType, player: "LivePlayer", rate: float, connection: Connection
) -> Iterator[None]:
    """Keeps the devices playing."""
    named = (connection.input_device, connection.output_device)
    devices = [int(name) if name and name.isdigit() else name for name in named]
    with contextlib.ExitStack() as stack:
        try:
            stream = system.Stream(
                samplerate=rate,
                blocksize=connection.block,
                device=devices,
                channels=(connection.channel, None),
                dtype="float32",
                latency="low",
                callback=player.callback,
            )
            stack.enter_context(stream)
        except (system.PortAudioError, ValueError) as error:
            what = " ".join(str(error).split())
            raise UserError(f"{what} (at {rate:g} Hz; --devices lists the devices)") from error
        yield


def _load(path: str, size: float) -> "AmpModel":
    from wf_jax.amps import load_amp

    model = load_amp(path).at_size(size)
    if (model.input_channels, model.output_channels) != (1, 1):
        raise UserError(f"{path}: not a mono model; only those are played")
    return model


def _change(player: "LivePlayer", path: str, rate: float, size: float) -> None:
    """Goes over to the model in a file, or says why not."""
    try:
        model = _load(path, size)
        if (model.sample_rate or rate) != rate:
            raise UserError(f"{path}: plays at {model.sample_rate:g} Hz, the devices at {rate:g}")
        player.change(model)
        print(f"plays {path}", file=sys.stderr)
    except UserError as error:
        print(error, file=sys.stderr)


def _watch(player: "LivePlayer", stop: threading.Event) -> None:
    progress = Progress()
    while not stop.wait(0.2):
        progress.update(said(player.look(), player.xruns))
    progress.close()


def said(meter: "Meter", xruns: int) -> str:
    """Formats the meter as a line."""
    levels = [20 * math.log10(max(level, 1e-5)) for level in (meter.input, meter.output)]
    load = meter.busy / max(meter.seconds, 1e-9)
    return (
        f"in {levels[0]:6.1f} dBFS  out {levels[1]:6.1f} dBFS  load {load:4.0%} "
        f"(slowest block {meter.slowest:4.0%})  {xruns} xruns"
    )
