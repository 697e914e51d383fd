"""Reading and writing audio files: exact samples, and one line for everything that can be wrong."""

import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.atomic import atomic_path
from data_pipeline.audio_files import AudioFileError, read_audio, write_wav

RATE = 48_000


def pcm_wav(values, bits, sample_rate=RATE, channels=1):
    """A WAV file's bytes, packed here, so that the reader is not tested against its own library."""
    size = bits // 8
    data = b"".join(int(v).to_bytes(size, "little", signed=True) for v in values)
    block = channels * size
    header = struct.pack("<HHIIHH", 1, channels, sample_rate, sample_rate * block, block, bits)
    chunks = b"fmt " + struct.pack("<I", len(header)) + header
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def message_of(path, **options):
    with pytest.raises(AudioFileError) as caught:
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


def test_truncated_files(tmp_path):
    whole = pcm_wav(range(1000), 16)
    (tmp_path / "cut.wav").write_bytes(whole[:-600])
    assert "is truncated, 1400 of 2000 bytes" in message_of(tmp_path / "cut.wav")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 50_000)
    soundfile.write(tmp_path / "whole.flac", noise, RATE)
    (tmp_path / "cut.flac").write_bytes((tmp_path / "whole.flac").read_bytes()[:40_000])
    assert "cut.flac" in message_of(tmp_path / "cut.flac")


def test_a_streamed_header_without_length_is_read(tmp_path):
    whole = bytearray(pcm_wav(range(100), 16))
    whole[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "streamed.wav").write_bytes(whole)
    assert len(read_audio(tmp_path / "streamed.wav").samples) == 100


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
