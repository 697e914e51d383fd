"""The output of commands on a terminal."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from data_pipeline.audio_stream import write_blocks
from experiments.run.process import ending_politely, run_main
from wf_jax.amps import a2, save_nam

ROOT = Path(__file__).parents[2]

SHOW = """
import sys, warnings
from absl import flags
from experiments.terminal.start import set_up
from data_pipeline.audio_headers import AudioFileWarning
flags.FLAGS(["show"])
set_up()
print("guitar \\N{GUITAR}", "name \\udcff")
warnings.warn("a.wav: its header lies", AudioFileWarning)
"""


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_any_name_can_be_shown_and_a_lying_header_is_a_line(encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert b"\\udcff" in done.stdout
    assert done.stderr.decode().strip() == "note: a.wav: its header lies"


@pytest.mark.parametrize(("samples", "magic"), [(1000, b"RIFF"), (2**30, b"RF64")])
def test_audio_beyond_4_gib_has_a_header_that_can_say_so(tmp_path, samples, magic):
    write_blocks(tmp_path / "a.wav", [], 48000, samples)
    assert (tmp_path / "a.wav").read_bytes()[:4] == magic


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["check_capture", "--input={0}/di.wav", "--output={0}/in/amp.wav", "--plot={0}/a.png"],
        ["prepare", "--input={0}/in", "--output={0}/corpus", "--validation=0"],
        ["render", "--model={0}/amp.nam", "--input={0}/in/amp.wav", "--output={0}/out.wav"],
    ],
)
def test_every_command_says_that_a_header_lies(tmp_path, command, rng):
    (tmp_path / "in").mkdir()
    save_nam(a2.create("nano", rng), tmp_path / "amp.nam", {})
    for name in ("di.wav", "in/amp.wav"):
        soundfile.write(tmp_path / name, rng.uniform(-0.3, 0.3, 2 * 48000), 48000)
    amp = tmp_path / "in" / "amp.wav"
    content = bytearray(amp.read_bytes())
    at = content.index(b"data") + 4
    size = int.from_bytes(content[at : at + 4], "little")
    content[at : at + 4] = (size - 1000).to_bytes(4, "little")
    amp.write_bytes(content)
    arguments = [sys.executable, "-m", f"experiments.{command[0]}"]
    arguments += [part.format(tmp_path) for part in command[1:]]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT)
    said = f"note: {amp}: its header announces 1.990 s of audio; 1000 bytes that follow are left"
    assert done.stderr.count(said) == 1, done.stderr
    assert "AudioFileWarning" not in done.stderr


START = """
import dataclasses, errno, os
from absl import flags
from experiments.terminal.start import start
from wf_jax.errors import UserError
flags.DEFINE_string("needed", None, "A text")
flags.DEFINE_string("other", None, "Another")
@dataclasses.dataclass
class Options:
    needed: str
    other: str | None
def run(given):
    {0}
def named(names, other: str | None):
    return len(names)
start({1})
"""
NEEDED = ["--needed=abc"]
OPTIONS = 'run, "--needed=a", Options, left="all is there"'
NO_ROOM = 'OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.wav")'


@pytest.mark.parametrize(
    ("does", "given", "code", "said"),
    [
        ("return None", NEEDED, 0, ""),
        ("return len(given.needed)", NEEDED, 3, ""),
        ('raise UserError("a.wav: too loud")', NEEDED, 1, "a.wav: too loud"),
        (f"raise {NO_ROOM}", NEEDED, 1, "a.wav: No space left on device; make room, then the same"),
        ("raise KeyboardInterrupt", NEEDED, 130, "stopped; all is there"),
        ("return 0", [*NEEDED, "x"], 1, "unexpected argument 'x'; options look like --needed=a"),
        ("return 0", [*NEEDED, "--x"], 1, "--x is no option; --help lists all"),
        ("return 0", ["--other=a"], 1, "--needed is missing: A text"),
    ],
)
def test_what_a_person_can_mend_is_a_line(does, given, code, said):
    done = subprocess.run(
        [sys.executable, "-c", START.format(does, OPTIONS), *given],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.strip().startswith(said)
    assert len(done.stderr.strip().splitlines()) == bool(said)


def test_names_are_given_to_the_command_that_takes_them():
    command = [sys.executable, "-c", START.format("pass", "named"), "a", "b"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 2


STOPS = [
    ("SIGINT", 130, "stopped; what was saved and written before is in the --workdir"),
    ("SIGTERM", 75, "stopped by SIGTERM; what was saved before is in the --workdir, and the same"),
]


@pytest.mark.parametrize(("name", "code", "said"), STOPS)
def test_a_signal_outside_of_a_training_is_a_line(capsys, name, code, said):
    """Sends a signal during loading and during the report; StopOnSignal covers the rest."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, ending_politely():
        signal.raise_signal(getattr(signal, name))
    assert ended.value.code == code
    assert capsys.readouterr().err.strip().startswith(said)

    with ending_politely():
        stopped = run_main(lambda: signal.raise_signal(getattr(signal, name)), 2, "none")
    assert stopped == code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(said)
    assert signal.getsignal(signal.SIGTERM) is before
