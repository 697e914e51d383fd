"""What a terminal is shown."""

import os
import subprocess
import sys

import pytest

from data_pipeline.audio_stream import write_blocks

SHOW = """
import sys, warnings
from absl import flags
from experiments.launch import set_up
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
