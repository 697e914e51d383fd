"""Damaged audio files: every command reads all, reports what it skips, or refuses in one line.

The limits are two seconds and a gigabyte.
"""

import contextlib
import io
import random

import numpy as np
import pytest
import soundfile

from data_pipeline.audio_files import AudioFile
from data_pipeline.audio_headers import AudioFileWarning
from tests.batteries import counts_of
from tests.data_pipeline.damaged_audio import FORMS, parts, seed
from wf_jax.errors import UserError

BATTERY = "tests.data_pipeline.audio_battery"
REFUSED = ("MP3", "NIST", "VOC")  # of which nobody can tell whether all is there


@pytest.mark.slow
def test_damaged_files_in_every_command():
    counts = counts_of(BATTERY, 0, 60)
    assert min(counts[state] for state in ("read", "noted", "refused")) > 5


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", range(11, 16))
def test_more_damaged_files_in_every_command(number):
    counts = counts_of(BATTERY, number, 1000)
    assert min(counts[state] for state in ("read", "noted", "refused")) > 80


@pytest.mark.parametrize("number", range(len(FORMS)), ids=["-".join(form[1:]) for form in FORMS])
def test_good_files_are_whole(tmp_path, number):
    for i in range(8):
        sample = seed(random.Random(i), number)
        path = tmp_path / f"a{sample.suffix}"
        path.write_bytes(sample.data)
        if sample.form in REFUSED:
            with pytest.raises(UserError, match="none of WAV, RF64"):
                AudioFile(path)
        else:
            file = AudioFile(path, lossy=True)
            np.testing.assert_array_equal(file.read(), sample.samples)
            assert file.samples == len(sample.samples)


# Earlier findings of the battery, each by itself


def written(form, subtype="PCM_16", samples=4800, order="FILE", rate=48_000):
    """Writes a file of noise; returns it with the noise as it is read."""
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, samples)
    file = io.BytesIO()
    soundfile.write(file, noise, rate, format=form, subtype=subtype, endian=order)
    return file.getvalue(), soundfile.read(io.BytesIO(file.getvalue()))[0]


def put(tmp_path, data, suffix=".wav"):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("form", ["WAV", "AIFF", "W64", "CAF", "AU", "OGG"])
def test_two_files_in_one_are_said(tmp_path, form):
    data, noise = written(form, "VORBIS" if form == "OGG" else "PCM_16")
    path = put(tmp_path, data + data)
    with pytest.warns(AudioFileWarning, match=f"{len(data)} bytes that follow are left out"):
        file = AudioFile(path, lossy=True)
    if form != "OGG":
        np.testing.assert_array_equal(file.read()[:, 0], noise)


@pytest.mark.parametrize(("form", "width"), [("AIFF", 4), ("W64", 8), ("CAF", 8), ("AU", 4)])
def test_a_size_that_announces_less_is_said_of_every_format(tmp_path, form, width):
    data, noise = written(form)
    order = "little" if form == "W64" else "big"
    extra = {"AIFF": 8, "W64": 24, "CAF": 4, "AU": 0}[form]
    size = (9600 + extra).to_bytes(width, order)
    assert size in data
    path = put(tmp_path, data.replace(size, (4800 + extra).to_bytes(width, order)))
    with pytest.warns(AudioFileWarning, match="announces 0.050 s of audio; 4800 bytes"):
        np.testing.assert_array_equal(AudioFile(path).read()[:, 0], noise[:2400])


def test_a_second_chunk_of_audio_is_said(tmp_path):
    data, noise = written("WAV")
    _, chunks = parts(data)
    path = put(tmp_path, data + chunks[-1])
    with pytest.warns(AudioFileWarning, match="9608 bytes that follow"):
        np.testing.assert_array_equal(AudioFile(path).read()[:, 0], noise)


def test_audio_that_ends_within_a_sample_is_said(tmp_path):
    data, _ = written("WAV", "PCM_24")
    at = data.index(b"data") + 4
    data = data[:at] + (14_396).to_bytes(4, "little") + data[at + 4 : at + 4 + 14_396]
    with pytest.warns(AudioFileWarning, match="within a sample, 2 bytes are left out"):
        assert AudioFile(put(tmp_path, data)).samples == 4798


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
@pytest.mark.parametrize("name", [b"iXML", b"cust", b"_PMX"])
def test_chunks_of_any_name_after_a_stream_are_no_audio(tmp_path, name, size):
    data, noise = written("WAV")
    at = data.index(b"data") + 4
    tail = name + (20).to_bytes(4, "little") + bytes(range(20))
    path = put(tmp_path, data[:at] + size.to_bytes(4, "little") + data[at + 4 :] + 2 * tail)
    np.testing.assert_array_equal(AudioFile(path).read()[:, 0], noise)


def test_chunks_after_the_audio_of_a_wave64_file_are_no_audio(tmp_path):
    data, noise = written("W64")
    tail = b"levl" + bytes(12) + (48).to_bytes(8, "little") + bytes(range(24))
    path = put(tmp_path, data + tail, ".w64")
    np.testing.assert_array_equal(AudioFile(path).read()[:, 0], noise)


@pytest.mark.parametrize("keep", [0.4, 0.999])
def test_files_of_the_larger_byte_first_that_were_cut(tmp_path, keep):
    data, noise = written("WAV", order="BIG")
    np.testing.assert_array_equal(AudioFile(put(tmp_path, data)).read()[:, 0], noise)
    with pytest.raises(UserError, match="is truncated"):
        AudioFile(put(tmp_path, data[: round(keep * len(data))]))


def test_ogg_files_that_lack_pages(tmp_path):
    data, _ = written("OGG", "VORBIS", samples=100_000)
    _, pages = parts(data)
    assert len(pages) > 4
    for wrong, said in (
        (pages[:-1], "truncated in or before page"),
        ([*pages[:3], *pages[4:]], "lacks page 3"),
        ([*pages[:3], pages[3][:-1] + b"\0", *pages[4:]], "damaged in page 3"),
        ([*pages[:-1], pages[-1][:-5]], "truncated"),
    ):
        with pytest.raises(UserError, match=said):
            AudioFile(put(tmp_path, b"".join(wrong), ".ogg"), lossy=True)


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2**31 - 1])
def test_rates_of_no_sound(tmp_path, rate):
    data, _ = written("WAV")
    path = put(tmp_path, data[:24] + rate.to_bytes(4, "little") + data[28:])
    with pytest.raises(UserError, match=f"sample rate {rate} Hz"):
        AudioFile(path)


def test_a_seek_before_the_beginning_is_no_traceback(tmp_path, capfd):
    data, _ = written("CAF")
    for at in range(4, 60):
        path = put(tmp_path, data[:at] + b"\xff" * 8 + data[at + 8 :])
        with contextlib.suppress(UserError):
            AudioFile(path, lossy=True).read()
    assert "Traceback" not in capfd.readouterr().err
