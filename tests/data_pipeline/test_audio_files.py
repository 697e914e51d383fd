"""Reading and writing audio files: exact samples, and one line for every fault."""

import io
import os
import re
import struct
import time

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.audio_files import AudioFile, read_audio, write_wav
from data_pipeline.audio_headers import AudioFileWarning
from data_pipeline.audio_stream import write_blocks
from wf_jax.errors import UserError
from wf_jax.whole_files import atomic_path

RATE = 48_000


def pcm_wav(values, bits, sample_rate=RATE, channels=1):
    """Packs a WAV file's bytes here, so that the reader is not tested against its own library."""
    size = bits // 8
    data = b"".join(int(v).to_bytes(size, "little", signed=True) for v in values)
    block = channels * size
    header = struct.pack("<HHIIHH", 1, channels, sample_rate, sample_rate * block, block, bits)
    chunks = b"fmt " + struct.pack("<I", len(header)) + header
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def message_of(path, **options):
    with pytest.raises(UserError) as caught:
        read_audio(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    assert ";" in message, "a remedy follows the fault"
    return message


@pytest.mark.parametrize("bits", [16, 24, 32])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_integer_samples_are_exact(tmp_path_factory, bits, data):
    top = 2 ** (bits - 1)
    values = data.draw(st.lists(st.integers(-top, top - 1), min_size=1, max_size=40))
    path = tmp_path_factory.mktemp("pcm") / "a.wav"
    path.write_bytes(pcm_wav(values, bits))
    audio = read_audio(path)
    assert audio.samples.dtype == np.float64
    assert audio.samples.tolist() == [v / top for v in values]
    assert (audio.bits, audio.is_float, audio.sample_rate) == (bits, False, RATE)


@pytest.mark.parametrize("suffix", [".flac", ".aiff"])
def test_flac_and_aiff_are_exact(tmp_path, suffix):
    values = np.random.default_rng(0).integers(-(2**23), 2**23, 500)
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, (values * 256).astype(np.int32), 44_100, subtype="PCM_24")
    audio = read_audio(path)
    np.testing.assert_array_equal(audio.samples, values / 2.0**23)
    assert audio.sample_rate == 44_100


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.floats(-4.0, 4.0, width=32), min_size=1, max_size=40))
def test_write_wav_round_trip(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("float") / "a.wav"
    write_wav(path, np.array(values, np.float32), RATE)
    audio = read_audio(path)
    assert audio.samples.tolist() == values
    assert audio.is_float
    assert [p.name for p in path.parent.iterdir()] == ["a.wav"]


def test_float_files_of_two_seconds_are_the_same(tmp_path):
    paths = [tmp_path / "a.wav", tmp_path / "b.wav", tmp_path / "c.wav"]
    x = np.linspace(-1.5, 1.5, 101, dtype=np.float32)
    write_wav(paths[0], x, RATE)
    write_blocks(paths[1], [x[:40], x[40:]], RATE, len(x))
    time.sleep(1.1)
    write_wav(paths[2], x, RATE)
    assert len({path.read_bytes() for path in paths}) == 1
    assert b"PEAK" not in paths[0].read_bytes()


def test_md5_is_of_the_file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(pcm_wav([1, 2], 16))
    one = read_audio(path).md5
    path.write_bytes(pcm_wav([1, 3], 16))
    assert len(one) == 32
    assert read_audio(path).md5 != one


def test_one_channel_of_a_stereo_file(tmp_path):
    path = tmp_path / "stereo.wav"
    path.write_bytes(pcm_wav([1, -1, 2, -2], 16, channels=2))
    assert (read_audio(path, 1).samples * 2**15).tolist() == [1, 2]
    assert (read_audio(path, channel=2).samples * 2**15).tolist() == [-1, -2]
    message = message_of(path)
    assert "2 channels" in message
    assert "channel=1 to 2" in message
    for wrong in (0, 3, -1):
        assert f"channel {wrong} was asked for" in message_of(path, channel=wrong)


def test_a_channel_of_a_mono_file(tmp_path):
    path = tmp_path / "mono.wav"
    path.write_bytes(pcm_wav([1, 2], 16))
    assert len(read_audio(path, 1).samples) == 2
    assert "choose 1" in message_of(path, channel=2)


def test_files_that_are_no_audio(tmp_path):
    assert "no such file" in message_of(tmp_path / "missing.wav")
    (tmp_path / "folder.wav").mkdir()
    assert "is a folder" in message_of(tmp_path / "folder.wav")
    (tmp_path / "empty.wav").touch()
    assert "is empty (0 bytes)" in message_of(tmp_path / "empty.wav")
    (tmp_path / "text.wav").write_text("dear diary\n" * 100)
    assert "can not be read as audio" in message_of(tmp_path / "text.wav")
    (tmp_path / "short.wav").write_bytes(pcm_wav([1], 16)[:30])
    assert "can not be read as audio" in message_of(tmp_path / "short.wav")
    (tmp_path / "nothing.wav").write_bytes(pcm_wav([], 16))
    assert "holds no samples" in message_of(tmp_path / "nothing.wav")


def patched_flac(content, total):
    """Returns a FLAC file's bytes that announce `total` samples; 0 is unknown."""
    value = int.from_bytes(content[18:26], "big")
    return content[:18] + (value >> 36 << 36 | total).to_bytes(8, "big") + content[26:]


def with_data_size(content, size):
    """Returns a WAV file's bytes whose data chunk announces `size`."""
    at = content.index(b"data") + 4
    return content[:at] + struct.pack("<I", size) + content[at + 4 :]


LIST = b"LIST" + struct.pack("<I", 12) + b"INFOISFT\0\0\0\0"


def cut_file(form, keep=0.4):
    """Returns the first part of a file that libsndfile writes."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 50_000)
    soundfile.write(file, noise, RATE, format=form, subtype="PCM_16")
    return file.getvalue()[: round(keep * len(file.getvalue()))]


@pytest.mark.parametrize("form", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC"])
@pytest.mark.parametrize("keep", [0.4, 0.999])
def test_a_file_cut_in_transfer_is_refused(tmp_path, form, keep):
    path = tmp_path / f"cut.{form.lower()}"
    path.write_bytes(cut_file(form, keep))
    assert re.search("truncated|malformed", message_of(path))


def test_truncated_files_say_how_much_is_there(tmp_path):
    (tmp_path / "cut.wav").write_bytes(pcm_wav(range(1000), 16)[:-600])
    assert "is truncated, 1400 of 2000 bytes" in message_of(tmp_path / "cut.wav")


# As sox and ffmpeg write them through a pipe, and recorders that lost their power.
@pytest.mark.parametrize(
    "size", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF - 36]
)
@pytest.mark.parametrize("tail", [b"", LIST, LIST + LIST])
def test_a_streamed_header_without_length_is_read_to_the_end(tmp_path, size, tail):
    values = np.random.default_rng(0).integers(-9, 9, 100)
    if size == 0 and tail:  # cannot be told from an empty file, but for the audio before
        tail = b""
    path = tmp_path / "streamed.wav"
    path.write_bytes(with_data_size(pcm_wav(values, 16), size) + tail)
    assert (read_audio(path).samples * 2**15).tolist() == values.tolist()


def test_an_empty_file_with_chunks_after_it_is_empty(tmp_path):
    (tmp_path / "a.wav").write_bytes(pcm_wav([], 16) + LIST)
    assert "holds no samples" in message_of(tmp_path / "a.wav")


def test_streamed_audio_with_half_a_frame_at_its_end(tmp_path):
    content = with_data_size(pcm_wav([1, -1, 2, -2], 16, channels=2), 0xFFFFFFFF)
    (tmp_path / "a.wav").write_bytes(content + b"\1\2\3")
    assert (AudioFile(tmp_path / "a.wav").read() * 2**15).tolist() == [[1, -1], [2, -2]]


def test_a_header_that_announces_less_is_said(tmp_path):
    path = tmp_path / "less.wav"
    path.write_bytes(with_data_size(pcm_wav(range(1000), 16), 1200))
    with pytest.warns(AudioFileWarning, match=r"announces 0.013 s .*; 800 bytes"):
        assert len(read_audio(path).samples) == 600


@pytest.mark.parametrize("tail", [b"", b"\0", LIST, b"\0" * 64, b"TAG" + bytes(125)])
def test_what_writers_leave_after_the_audio_is_no_fault(tmp_path, tail):
    (tmp_path / "a.wav").write_bytes(pcm_wav(range(1000), 16) + tail)
    assert len(read_audio(tmp_path / "a.wav").samples) == 1000  # warnings are errors in tests


def test_flac_files_of_every_announced_length(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 50_000)
    path = tmp_path / "a.flac"
    soundfile.write(path, noise, RATE)
    whole, content = read_audio(path).samples, path.read_bytes()
    path.write_bytes(patched_flac(content, 0))
    np.testing.assert_array_equal(read_audio(path).samples, whole)
    assert AudioFile(path).samples == 50_000
    path.write_bytes(patched_flac(content, 20_000))
    with pytest.warns(AudioFileWarning, match="announces 20000 samples; all 50000"):
        np.testing.assert_array_equal(read_audio(path).samples, whole)
    for total in (50_001, 2**36 - 1):
        path.write_bytes(patched_flac(content, total))
        assert f"50000 of {total} samples" in message_of(path)
    path.write_bytes(patched_flac(content, 0)[: len(content) // 3])
    assert "truncated after" in message_of(path)


def test_names_that_are_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"\xe4\xff.wav")
    path.write_bytes(pcm_wav([1, 2], 16))
    assert len(read_audio(path).samples) == 2


def test_absurd_samples_are_refused_before_they_are_infinite(tmp_path):
    for kind, value in (("DOUBLE", 1e300), ("FLOAT", 3e38)):
        path = tmp_path / f"{kind}.wav"
        soundfile.write(path, np.full(100, value), RATE, subtype=kind)
        assert "full scale is 1" in message_of(path)
        with pytest.raises(UserError, match="full scale is 1"):
            list(AudioFile(path).blocks("float32"))
    soundfile.write(path, np.full(100, 32768.0), RATE, subtype="FLOAT")
    with pytest.warns(AudioFileWarning, match="larger than 64"):
        read_audio(path)


def test_sample_rate_zero(tmp_path):
    (tmp_path / "zero.wav").write_bytes(pcm_wav([1, 2], 16, sample_rate=0))
    assert "sample rate is 0 Hz" in message_of(tmp_path / "zero.wav")


def test_samples_that_are_no_numbers(tmp_path):
    samples = np.zeros(RATE, np.float32)
    samples[[12_000, 12_001, 40_000]] = np.nan, np.inf, -np.inf
    soundfile.write(tmp_path / "nan.wav", samples, RATE, subtype="FLOAT")
    message = message_of(tmp_path / "nan.wav")
    assert "3 samples are not numbers" in message
    assert "at 0.250 s" in message


def test_lossy_sample_types_are_refused(tmp_path):
    soundfile.write(tmp_path / "u.wav", np.zeros(100), RATE, subtype="ULAW")
    assert "ULAW" in message_of(tmp_path / "u.wav")


def test_a_failed_write_leaves_nothing_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")

    def fail_in_the_middle():
        with atomic_path(path) as temporary:
            assert temporary.parent == path.parent
            assert temporary.suffix == ".wav"
            temporary.write_bytes(b"half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_in_the_middle()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_wav_refuses_two_channels_and_missing_folders(tmp_path):
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        write_wav(tmp_path / "a.wav", np.zeros((2, 2), np.float32), RATE)
    with pytest.raises(OSError, match="nowhere"):
        write_wav(tmp_path / "nowhere" / "a.wav", np.zeros(2, np.float32), RATE)
    assert list(tmp_path.iterdir()) == []


def test_a_written_file_has_the_usual_mode(tmp_path):
    write_wav(tmp_path / "a.wav", np.zeros(2, np.float32), RATE)
    (tmp_path / "b").touch()
    assert (tmp_path / "a.wav").stat().st_mode == (tmp_path / "b").stat().st_mode
