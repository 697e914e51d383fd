"""Recognition of standard input files, on crafted files with crafted table entries."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from data_pipeline.audio_files import read_audio
from data_pipeline.standard_files import STANDARD_FILES, SliceMd5, recognize

RATE = 48_000


def md5_of(values):
    """Hashes 24-bit integers as little-endian float64, written out without the code under test."""
    return hashlib.md5(b"".join(np.float64(v / 2**23).tobytes() for v in values)).hexdigest()


@pytest.fixture
def crafted(tmp_path):
    """Makes a 24-bit file, its integers, and a table entry that knows it weakly."""
    values = np.random.default_rng(1).integers(-(2**20), 2**20, 3000)
    path = tmp_path / "input.wav"
    soundfile.write(path, (values * 256).astype(np.int32), RATE, subtype="PCM_24")
    entry = replace(
        STANDARD_FILES[0],
        file_md5="0" * 32,
        slice_md5s=(
            SliceMd5(None, 500, md5_of(values[:500])),
            SliceMd5(-400, None, md5_of(values[-400:])),
        ),
    )
    return path, values, entry


def rewrite(path, values, rate=RATE):
    soundfile.write(path, (values * 256).astype(np.int32), rate, subtype="PCM_24")
    return read_audio(path)


def test_strong_recognition_is_by_the_bytes(crafted):
    path, _, entry = crafted
    strong = replace(entry, file_md5=hashlib.md5(path.read_bytes()).hexdigest(), slice_md5s=())
    assert recognize(read_audio(path), (strong,)) is strong
    path.write_bytes(path.read_bytes() + b"\0")
    assert recognize(read_audio(path), (strong,)) is None


def test_the_middle_may_be_replaced(crafted):
    path, values, entry = crafted
    changed = values.copy()
    changed[500:2600] = 0
    assert recognize(rewrite(path, changed), (entry,)) is entry
    longer = np.insert(values, 1000, 0)
    assert recognize(rewrite(path, longer), (entry,)) is entry


@pytest.mark.parametrize("at", [0, 499, 2600, 2999])
def test_start_and_end_may_not(crafted, at):
    path, values, entry = crafted
    values[at] += 1
    assert recognize(rewrite(path, values), (entry,)) is None


def test_the_rate_must_be_the_same(crafted):
    path, values, entry = crafted
    assert recognize(rewrite(path, values, 44_100), (entry,)) is None
    at_44 = replace(entry, sample_rate=44_100)
    assert recognize(rewrite(path, values, 44_100), (entry, at_44)) is at_44


def test_float_files_are_not_recognized_weakly(crafted):
    path, values, entry = crafted
    soundfile.write(path, values / 2.0**23, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path).samples, values / 2.0**23)
    assert recognize(read_audio(path), (entry,)) is None


def test_first_match_in_the_order_of_the_table(crafted):
    path, _, entry = crafted
    other = replace(entry, version="2.0.0")
    assert recognize(read_audio(path), (other, entry)).version == "2.0.0"
    assert recognize(read_audio(path), (entry, other)).version == "3.0.0"


def test_files_shorter_than_a_slice_and_own_playing(crafted):
    path, values, entry = crafted
    assert recognize(rewrite(path, values[:300]), (entry,)) is None
    assert recognize(read_audio(path)) is None


def test_the_table_is_consistent():
    assert [s.version[0] for s in STANDARD_FILES] == ["3", "2", "1", "1", "4"]
    for standard in STANDARD_FILES:
        stop = standard.first_blips_start + standard.t_blips
        for blip in standard.blips:
            assert standard.noise_interval[1] < blip
            assert standard.first_blips_start <= blip - 1_000
            assert blip + 10_000 <= stop
        assert standard.deprecated == (standard.version != "3.0.0")
        hashes = [standard.file_md5, *(part.md5 for part in standard.slice_md5s)]
        assert all(len(h) == 32 and int(h, 16) for h in hashes)


def test_the_parts_of_version_3():
    """Checks the published layout: 190 s, trained from 10 s to 181 s: 8,208,000 samples."""
    total = 9_120_000
    start, stop, _ = slice(*STANDARD_FILES[0].train).indices(total)
    assert (start, stop - start) == (480_000, 8_208_000)
    assert slice(*STANDARD_FILES[0].validation).indices(total)[:2] == (8_688_000, total)
