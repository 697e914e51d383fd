"""Live playing with a stand-in for the sound system that reads and writes arrays."""

import io
import json
import subprocess
import sys
import types

import numpy as np
import pytest

from experiments.playing import live
from experiments.playing.live import Connection
from experiments.playing.player import FADE, LivePlayer, Meter
from tests.amps.nam_examples import EXAMPLES
from tests.amps.native_models import example, in_blocks
from wf_jax.amps.player import Player
from wf_jax.errors import UserError

RATE = 48000
BLOCK = 64


class Device:
    """An interface whose guitar is an array; what it plays is kept."""

    class PortAudioError(Exception):
        pass

    def __init__(self, x):
        self.x, self.heard, self.asked = x, [], {}

    def Stream(self, **asked):
        if asked["device"][0] == "none":
            raise ValueError("No input device matching 'none'")
        if asked["samplerate"] == 44100:
            raise self.PortAudioError("Invalid sample rate\n[PaErrorCode -9997]")
        self.asked = asked
        return self

    def __enter__(self):
        for start in range(0, len(self.x), BLOCK):
            y = np.full((BLOCK, 2), 9.0, np.float32)
            self.asked["callback"](self.x[start : start + BLOCK], y, BLOCK, None, start == 0)
            self.heard.append(y)

    def __exit__(self, *error):
        pass


def guitar(samples, channels=1):
    x = np.random.default_rng(0).normal(size=(samples, channels))
    return (0.2 * x).astype(np.float32)


def through(player, x):
    y = np.zeros((len(x), 2), np.float32)
    for start in range(0, len(x), BLOCK):
        block = slice(start, start + BLOCK)
        player.callback(x[block], y[block], len(x[block]), None, None)
    return y


def test_plays_what_a_player_plays():
    model, device = example("gated"), Device(guitar(64 * 20))
    expected = np.clip(in_blocks(Player(model, 64), device.x[:, 0], (64,)), -1, 1)
    live.play(device, model, Connection(), io.StringIO("\n"))
    heard = np.concatenate(device.heard)
    np.testing.assert_array_equal(heard, np.stack([expected] * 2, axis=1))
    assert (device.asked["blocksize"], device.asked["samplerate"]) == (64, RATE)


def test_a_channel_is_chosen():
    model, x = example("gated"), guitar(640, channels=2)
    second = through(LivePlayer(model, RATE, channel=1), x)
    np.testing.assert_array_equal(second, through(LivePlayer(model, RATE), x[:, 1:]))


def test_models_change_without_a_gap():
    first, second = example("gated"), example("blended")
    x = guitar(RATE // 5)
    player, half = LivePlayer(first, RATE), 64 * 40
    before = through(player, x[:half])
    player.change(second)
    after = through(player, x[half:])
    old = through(LivePlayer(first, RATE), x)
    np.testing.assert_array_equal(before, old[:half])
    new = through(LivePlayer(second, RATE), x[half:])
    fade = round(FADE * RATE)
    share = (np.arange(fade, dtype=np.float32) / fade)[:, None]
    blended = old[half : half + fade] * (1 - share) + new[:fade] * share
    np.testing.assert_allclose(after[:fade], blended, atol=1e-6)
    np.testing.assert_array_equal(after[fade + 64 :], new[fade + 64 :])


def test_what_is_not_a_number_is_silent():
    player, x = LivePlayer(example("gated"), RATE), guitar(64)
    x[3] = np.nan
    y = through(player, x)
    assert np.isfinite(y).all()
    assert np.abs(y).max() <= 1.0


def test_it_counts():
    player, x = LivePlayer(example("gated"), RATE), guitar(640)
    player.callback(x[:64], np.zeros((64, 2), np.float32), 64, None, "output underflow")
    through(player, x)
    meter = player.look()
    assert player.xruns == 1
    assert meter.blocks == 11
    assert meter.input == pytest.approx(np.abs(x).max())
    assert meter.busy / meter.seconds > 0
    assert meter.slowest >= meter.busy / meter.seconds
    assert player.look() == Meter()
    line = live.said(Meter(input=0.1, output=1.0, busy=0.1, slowest=0.3, seconds=1.0), 2)
    assert line == "in  -20.0 dBFS  out    0.0 dBFS  load  10% (slowest block  30%)  2 xruns"


def test_another_model_is_named_while_it_plays(tmp_path, capsys):
    (tmp_path / "other.nam").write_text(json.dumps(EXAMPLES["blended"]()))
    (tmp_path / "stereo.nam").write_text(json.dumps(EXAMPLES["channels_2_in_3_out"]()))
    names = ["none.nam", "stereo.nam", "other.nam", ""]
    lines = io.StringIO("\n".join(str(tmp_path / name) if name else "" for name in names) + "\n")
    live.play(Device(guitar(640)), example("gated"), Connection(), lines)
    said = capsys.readouterr().err
    assert "none.nam: cannot be read" in said
    assert "stereo.nam: not a mono model" in said
    assert f"plays {tmp_path / 'other.nam'}" in said


def test_what_a_device_refuses_is_one_line():
    connection = Connection(input_device="none")
    with pytest.raises(UserError, match=r"No input device matching 'none' \(at 48000 Hz; --dev"):
        live.play(Device(guitar(64)), example("gated"), connection, io.StringIO(""))
    model = example("gated")
    model.sample_rate = 44100.0
    with pytest.raises(UserError, match=r"Invalid sample rate \[PaErrorCode -9997\] \(at 44100"):
        live.play(Device(guitar(64)), model, Connection(), io.StringIO(""))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (None, "live audio takes the package sounddevice: pip install sounddevice"),
        (types.SimpleNamespace(query_devices=list), "PortAudio finds no audio device here"),
    ],
)
def test_without_a_sound_system_it_says_so(monkeypatch, module, message):
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    with pytest.raises(UserError, match=message):
        live.sound_system()


def test_without_a_model_it_says_so():
    command = [sys.executable, "-m", "experiments.live"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "name a model: --model=amp.nam (--devices lists the devices)\n",
    )
