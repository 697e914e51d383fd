"""Speech corpora: prepared exactly, complete or not at all; windows against np.pad of the clip."""

import hashlib
import io
import json
import math
import re
import signal
import struct
import subprocess
import sys
import time
import wave
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline import corpus_preparation
from data_pipeline.audio_headers import AudioFileWarning
from data_pipeline.corpus import Corpus, Windows
from data_pipeline.corpus_files import AudioWriter
from data_pipeline.corpus_index import Clip, Index
from data_pipeline.corpus_preparation import prepare_corpus
from wf_jax.errors import UserError

RATE = 22_050
ROOT = Path(__file__).parents[2]
MINI = ROOT.parent / "shared" / "data" / "ljspeech_mini"


def put_wav(path, samples, rate=RATE):
    """Writes mono 16-bit WAV by the standard library, not by the library that reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(struct.pack(f"<{len(samples)}h", *(int(s) for s in samples)))


def noise(count, seed=0, top=3000):
    return np.random.default_rng(seed).integers(-top, top, count, dtype=np.int16)


def put_clips(folder, lengths, rate=RATE):
    """Writes c00.wav, c01.wav, ... of these lengths; returns their samples."""
    clips = [noise(length, seed) for seed, length in enumerate(lengths)]
    for number, clip in enumerate(clips):
        put_wav(folder / f"c{number:02d}.wav", clip, rate)
    return clips


def prepared(folder, lengths, rate=RATE, validation=1):
    clips = put_clips(folder / "in", lengths, rate)
    prepare_corpus(folder / "in", folder / "out", sample_rate=rate, validation=validation)
    return Corpus.open(folder / "out"), clips


def message_of(call, *said):
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert ";" in message, "a remedy follows the fault"
    for word in said:
        assert word in message
    return message


# Preparation: what is stored


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff", ".WAV"])
def test_int16_of_the_same_rate_is_stored_bit_for_bit(tmp_path, suffix):
    values = np.r_[np.array([-32768, 32767, -1, 0, 1], np.int16), noise(9000, top=32767)]
    (tmp_path / "in").mkdir()
    form = {".WAV": "WAV"}.get(suffix)
    soundfile.write(tmp_path / "in" / f"a{suffix}", values, RATE, subtype="PCM_16", format=form)
    prepare_corpus(tmp_path / "in", tmp_path / "out", validation=0)
    stored = np.load(tmp_path / "out" / "audio.npy", mmap_mode="r")
    assert stored.dtype == np.int16
    np.testing.assert_array_equal(stored, values)


def test_clips_lie_end_to_end_and_the_index_has_the_facts(tmp_path):
    corpus, clips = prepared(tmp_path, [6000, 7001, 8002], validation=2)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "audio.npy"), np.concatenate(clips))
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    audio_bytes = (tmp_path / "out" / "audio.npy").read_bytes()
    assert index["version"] == 1
    assert index["sample_rate"] == RATE
    assert index["samples"] == 21_003
    assert index["sha256"] == hashlib.sha256(audio_bytes).hexdigest()
    assert index["skipped"] == index["duplicates"] == []
    assert [c["start"] for c in index["clips"]] == [0, 6000, 13_001]
    assert [c["split"] for c in index["clips"]] == ["train", "validation", "validation"]
    for clip, entry, samples in zip(corpus.clips, index["clips"], clips, strict=True):
        source = (tmp_path / "in" / entry["source"]).read_bytes()
        assert entry["md5"] == clip.md5 == hashlib.md5(source).hexdigest()
        assert entry["samples"] == len(samples)
        assert (entry["source_rate"], entry["source_channels"]) == (RATE, 1)
        values = [int(s) / 32768 for s in samples]
        assert clip.peak == max(abs(v) for v in values)
        rms = math.sqrt(sum(v * v for v in values) / len(values))
        assert clip.rms_dbfs == pytest.approx(20 * math.log10(rms), abs=1e-9)
        np.testing.assert_array_equal(corpus.audio(clip), samples)


def test_preparing_twice_gives_the_same_bytes(tmp_path):
    put_clips(tmp_path / "in", [6000, 7000])
    soundfile.write(tmp_path / "in" / "z.wav", noise(9000), 44_100)
    for name in ("one", "two"):
        prepare_corpus(tmp_path / "in", tmp_path / name, validation=1)
    for file in ("audio.npy", "index.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize("rate", [44_100, 48_000, 16_000])
def test_resampling_keeps_a_tone_and_its_delay(tmp_path, rate):
    t = np.arange(rate) / rate
    (tmp_path / "in").mkdir()
    source = tmp_path / "in" / "a.wav"
    soundfile.write(source, 0.5 * np.sin(2 * np.pi * 440 * t), rate, subtype="DOUBLE")
    prepare_corpus(tmp_path / "in", tmp_path / "out", validation=0)
    stored = np.load(tmp_path / "out" / "audio.npy")
    assert abs(len(stored) - RATE) <= 1
    expected = 0.5 * 32768 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    inner = slice(2000, 20_000)  # the tone starts and stops abruptly: its ends ring
    assert np.abs(stored[inner] - expected[inner]).max() < 1  # half is rounding


def test_beyond_full_scale_is_limited_and_counted_never_wrapped(tmp_path):
    (tmp_path / "in").mkdir()
    values = np.array([0.0, 1.5, -1.5, 1.0, -1.0, 0.25, 0.9999999, 3e9, -3e9] * 1000)
    soundfile.write(tmp_path / "in" / "a.wav", values, RATE, subtype="FLOAT")
    with pytest.warns(AudioFileWarning, match="larger than 64"):
        report = prepare_corpus(tmp_path / "in", tmp_path / "out", validation=0)
    stored = np.load(tmp_path / "out" / "audio.npy")[:9]
    expected = [0, 32767, -32768, 32767, -32768, 8192, 32767, 32767, -32768]
    assert stored.tolist() == expected
    assert report.index.clips[0].limited == 4000
    assert any("beyond full scale, 4000 samples" in line for line in report.findings)


def test_finer_samples_are_rounded_to_the_nearest(tmp_path):
    (tmp_path / "in").mkdir()
    values = np.random.default_rng(0).uniform(-0.9, 0.9, 9000)
    soundfile.write(tmp_path / "in" / "a.wav", values, RATE, subtype="PCM_24")
    prepare_corpus(tmp_path / "in", tmp_path / "out", validation=0)
    stored = np.load(tmp_path / "out" / "audio.npy")
    assert np.abs(stored - values * 32768).max() < 0.51  # the 24-bit file rounded once as well


def test_overshoot_of_the_resampler_keeps_its_sign(tmp_path):
    square = np.where(np.arange(44_100) // 100 % 2, -32768, 32767)
    put_wav(tmp_path / "in" / "a.wav", square, 44_100)
    report = prepare_corpus(tmp_path / "in", tmp_path / "out", validation=0)
    stored = np.load(tmp_path / "out" / "audio.npy")
    assert report.index.clips[0].limited > 0
    middle = np.arange(10, len(stored) - 60, 50)  # a half period is 50 samples, the edges cut off
    for shift in (10, 20, 30):
        assert (np.sign(stored[middle + shift].astype(int)) == [1, -1] * (len(middle) // 2)).all()


def test_channels_are_averaged(tmp_path):
    (tmp_path / "in").mkdir()
    left, right = 2 * noise(9000, 1), 2 * noise(9000, 2)
    soundfile.write(tmp_path / "in" / "a.wav", np.stack([left, right], 1), RATE)
    report = prepare_corpus(tmp_path / "in", tmp_path / "out", validation=0)
    expected = (left.astype(int) + right) // 2  # even numbers: exact
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "audio.npy"), expected)
    assert report.index.clips[0].source_channels == 2
    assert any("several channels" in line for line in report.findings)


def test_more_samples_than_the_first_header_said():
    file = io.BytesIO()
    writer = AudioWriter(file)
    first = writer.append(noise(123_456))
    second = writer.append(noise(7, seed=1))
    writer.finish()
    file.seek(0)
    stored = np.load(file)
    assert (first, second) == (0, 123_456)
    np.testing.assert_array_equal(stored, np.r_[noise(123_456), noise(7, seed=1)])


# Preparation: which files, in which order and split


def names(folder, **options):
    report = prepare_corpus(folder / "in", folder / "out", **options)
    return [clip.name for clip in report.index.clips], report


def test_any_folder_is_read_to_its_bottom_in_the_order_of_paths(tmp_path):
    for seed, name in enumerate(
        ["b.wav", "a/z.wav", "a/b/c.flac", "C.aiff", "._b.wav", ".x/d.wav"]
    ):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, noise(8000, seed), RATE)
    (tmp_path / "in" / "notes.txt").write_text("not audio")
    assert names(tmp_path, validation=1)[0] == ["C", "a/b/c", "a/z", "b"]


def test_names_keep_their_suffix_where_they_would_be_the_same(tmp_path):
    put_clips(tmp_path / "in", [8000])
    soundfile.write(tmp_path / "in" / "c00.flac", noise(8000, 5), RATE)
    soundfile.write(tmp_path / "in" / "c00.wav.aiff", noise(8000, 6), RATE)
    soundfile.write(tmp_path / "in" / "c01.flac", noise(8000, 7), RATE)
    expected = ["c00.flac", "c00.wav", "c00.wav.aiff", "c01"]
    assert names(tmp_path, validation=1)[0] == expected


def put_ljspeech(folder, ids, listed):
    for seed, name in enumerate(ids):
        put_wav(folder / "wavs" / f"{name}.wav", noise(8000, seed))
    lines = [f'{name}|He said: "né", 1|He said: "né", one\n' for name in listed]
    (folder / "metadata.csv").write_text("".join(lines) + "\n", encoding="utf-8")


def test_ljspeech_is_read_in_the_order_of_its_metadata(tmp_path):
    put_ljspeech(tmp_path / "in", ["A-1", "A-2", "A-3", "A-4"], ["A-3", "A-1", "A-2"])
    found, report = names(tmp_path, validation=1)
    assert found == ["A-3", "A-1", "A-2"]
    assert report.index.clips[0].source == "wavs/A-3.wav"
    assert [c.split for c in report.index.clips] == ["train", "train", "validation"]
    assert report.findings == ("1 file not in metadata.csv, left out: wavs/A-4.wav",)


def test_what_metadata_names_must_be_there(tmp_path):
    put_ljspeech(tmp_path / "in", ["A-1", "A-2"], ["A-1", "A-9", "A-2"])
    message_of(lambda: names(tmp_path, validation=1), "1 of 3 files", "A-9.wav: no such file")


@settings(max_examples=10, deadline=None)
@given(count=st.integers(1, 7), validation=st.integers(0, 8))
def test_no_clip_is_in_two_splits(tmp_path_factory, count, validation):
    folder = tmp_path_factory.mktemp("split")
    if validation >= count:
        put_clips(folder / "in", [100] * count)
        call = partial(prepare_corpus, folder / "in", folder / "out", validation=validation)
        message_of(call, f"validation {validation} leaves no clip of {count}")
        assert [path.name for path in folder.iterdir()] == ["in"]
        return
    corpus, _ = prepared(folder, [100] * count, validation=validation)
    train, kept = ({c.name for c in corpus.select(s)} for s in ("train", "validation"))
    assert len(kept) == validation
    assert len(train) == count - validation
    assert not train & kept
    assert all(a < b for a in train for b in kept), "the last clips are kept"


@pytest.mark.parametrize(
    ("count", "kept"), [(1, 0), (2, 1), (12, 1), (30, 3), (159, 15), (160, 16), (593, 16)]
)
def test_a_tenth_is_kept_for_validation(count, kept):
    assert count - corpus_preparation._count_training(count, None) == kept


def test_copies_are_left_out_lest_one_is_in_both_splits(tmp_path):
    clips = put_clips(tmp_path / "in", [8000, 8001])
    put_wav(tmp_path / "in" / "z.wav", clips[0])
    found, report = names(tmp_path, validation=1)
    assert found == ["c00", "c01"]
    assert report.index.duplicates == (("z.wav", "c00.wav"),)
    assert Corpus.open(tmp_path / "out").index.duplicates == report.index.duplicates
    assert [line for line in report.findings if "z.wav (as c00.wav)" in line]


def test_validation_is_counted_after_copies_and_bad_files_are_left_out(tmp_path):
    clips = put_clips(tmp_path / "in", [8000])
    put_wav(tmp_path / "in" / "z.wav", clips[0])
    message_of(lambda: names(tmp_path, validation=1), "leaves no clip of 1", "--validation=0")


# Preparation: faults and findings


def put_bad(folder):
    """Writes a file of each unusable kind; returns name -> expected message."""
    folder.mkdir(parents=True, exist_ok=True)
    put_wav(folder / "whole.wav", noise(9000))
    whole = (folder / "whole.wav").read_bytes()
    (folder / "whole.wav").unlink()
    (folder / "bytes0.wav").write_bytes(b"")
    (folder / "cut.wav").write_bytes(whole[:5000])
    (folder / "text.wav").write_text("this is no audio")
    soundfile.write(folder / "cut.flac", noise(90_000), RATE)
    flac = (folder / "cut.flac").read_bytes()
    (folder / "cut.flac").write_bytes(flac[: len(flac) // 2])
    soundfile.write(folder / "frames0.wav", noise(0), RATE)
    broken = np.r_[np.zeros(500), np.nan, np.zeros(500)]
    soundfile.write(folder / "nan.wav", broken, RATE, subtype="FLOAT")
    soundfile.write(folder / "lossy.wav", noise(9000), RATE, subtype="ULAW")
    soundfile.write(folder / "vorbis.ogg", noise(9000) / 32768, RATE)
    soundfile.write(folder / "slow.wav", noise(900), 50)
    return {
        "bytes0.wav": "0 bytes",
        "cut.wav": "truncated",
        "cut.flac": "",
        "text.wav": "can not be read as audio",
        "frames0.wav": "no samples",
        "nan.wav": "NaN",
        "lossy.wav": "ULAW",
        "vorbis.ogg": "VORBIS",
        "slow.wav": "50 Hz",
    }


@pytest.mark.parametrize(
    ("good", "options", "message"),
    [
        (2, {"validation": 1}, "9 of 11 files can not be used: .*; and 6 more;.* with --skip_bad"),
        (0, {"validation": 0, "skip_bad": True}, "none of 9 files can be used, the first: .*;"),
    ],
)
def test_bad_files_fail_the_preparation_and_all_are_named(tmp_path, good, options, message):
    put_clips(tmp_path / "in", [8000] * good)
    bad = put_bad(tmp_path / "in" / "bad")
    with pytest.raises(UserError) as caught:
        names(tmp_path, **options)
    *reasons, last = str(caught.value).split("\n")
    assert re.match(message, last)
    assert sorted(r.split(":")[0].rsplit("/", 1)[1] for r in reasons) == sorted(bad)
    for name, said in bad.items():
        assert any(name in reason and said in reason for reason in reasons), name
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_bad_files_can_be_left_out(tmp_path):
    clips = put_clips(tmp_path / "in", [8000, 8000])
    bad = put_bad(tmp_path / "in" / "bad")
    report = prepare_corpus(tmp_path / "in", tmp_path / "out", validation=1, skip_bad=True)
    corpus = Corpus.open(tmp_path / "out")
    assert [c.name for c in corpus.clips] == ["c00", "c01"]
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "audio.npy"), np.concatenate(clips))
    assert len(corpus.index.skipped) == len(bad)
    assert corpus.index.skipped == report.index.skipped
    assert "9 files left out that can not be used" in report.findings


def test_findings(tmp_path):
    folder = tmp_path / "in"
    put_clips(folder, [8000])
    put_wav(folder / "silent.wav", np.zeros(8000))
    put_wav(folder / "dither.wav", noise(8000, 1, top=2))
    put_wav(folder / "flat.wav", np.clip(30 * noise(8000, 2).astype(int), -32768, 32767))
    put_wav(folder / "peak.wav", np.r_[noise(8000, 3), 32767, 32767, noise(10)])
    put_wav(folder / "short.wav", noise(5512))
    put_wav(folder / "enough.wav", noise(5513))
    put_wav(folder / "low.wav", noise(8000), 16_000)
    _, report = names(tmp_path, validation=0)
    assert set(report.findings) == {
        "2 clips below -70 dBFS: dither, silent",
        "1 clip clipped in the recording: flat",
        "1 clip shorter than 0.25 s: short",
        "1 clip recorded below 22050 Hz, the upper band is empty: low",
        "mixed sample rates: 1 at 16000 Hz, 7 at 22050 Hz",
        "no validation clips (--validation=0)",
    }
    silent = next(c for c in Corpus.open(tmp_path / "out").clips if c.name == "silent")
    assert silent.rms_dbfs == -math.inf
    assert silent.peak == 0


def test_nothing_odd_gives_no_findings(tmp_path):
    put_clips(tmp_path / "in", [8000, 8000])
    assert names(tmp_path, validation=1)[1].findings == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sample_rate": 0}, "sample_rate 0 Hz"),
        ({"sample_rate": 10**6}, "sample_rate 1000000 Hz"),
        ({"validation": -1}, "validation -1"),
        ({"source": "missing"}, "missing: no such folder"),
        ({"source": "in/c00.wav"}, "is a file"),
        ({"source": "empty"}, "no recordings"),
        ({"output": "in"}, "is there already"),
        ({"output": "in/c00.wav"}, "is there already"),
        ({"output": "in/c00.wav/deeper"}, "can not be written"),
    ],
)
def test_wrong_arguments(tmp_path, monkeypatch, change, said):
    put_clips(tmp_path / "in", [8000, 8000])
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    options = {"source": "in", "output": "out", "validation": 1} | change
    message_of(lambda: prepare_corpus(**options), said)
    assert not (tmp_path / "out").exists()


def test_too_few_clips_are_noticed_before_any_is_read(tmp_path):
    put_clips(tmp_path / "in", [8000, 8000])
    lines = []
    message_of(lambda: names(tmp_path, validation=2, progress=lines.append), "leaves no clip of 2")
    assert not lines


def test_an_empty_output_folder_and_missing_parents_are_fine(tmp_path):
    put_clips(tmp_path / "in", [8000, 8000])
    (tmp_path / "out").mkdir()
    for output in ("out", "new/parents/out"):
        prepare_corpus(tmp_path / "in", tmp_path / output, validation=1)
        Corpus.open(tmp_path / output).check()
    assert (tmp_path / "new" / "parents" / "out").stat().st_mode & 0o700 == 0o700


def test_progress(tmp_path):
    put_clips(tmp_path / "in", [RATE * 30, RATE * 30, 100])
    lines = []
    prepare_corpus(tmp_path / "in", tmp_path / "out", validation=1, progress=lines.append)
    assert [line.split(",")[0] for line in lines] == [f"{n} of 3 files" for n in (1, 2, 3)]
    assert "1.0 min of audio" in lines[1]


# Preparation: complete or not at all


def run_python(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted(tmp_path, error):
    put_clips(tmp_path / "in", [8000] * 3)

    def stop(line):
        if line.startswith("2"):
            raise error

    with pytest.raises(error):
        prepare_corpus(tmp_path / "in", tmp_path / "out", validation=1, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_killed(tmp_path):
    put_clips(tmp_path / "in", [8000] * 3)
    script = (
        "import os, signal, sys\n"
        "from data_pipeline.corpus_preparation import prepare_corpus\n"
        "kill = lambda line: os.kill(os.getpid(), signal.SIGKILL)\n"
        "prepare_corpus(sys.argv[1], sys.argv[2], validation=1, progress=kill)\n"
    )
    assert run_python(script, tmp_path / "in", tmp_path / "out").returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    prepare_corpus(tmp_path / "in", tmp_path / "out", validation=1)  # and it can be done again
    Corpus.open(tmp_path / "out").check()


@pytest.mark.parametrize("limit", [200_000, 2000])
def test_full_disk(tmp_path, limit):
    """Makes the system refuse a file beyond `limit` bytes: the audio or its last block."""
    put_clips(tmp_path / "in", [50_000] * 3 if limit > 100_000 else [1500, 10])
    script = (
        "import resource, sys\n"
        "from data_pipeline.corpus_preparation import prepare_corpus\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "try:\n"
        "    prepare_corpus(sys.argv[1], sys.argv[2], validation=1)\n"
        "except ValueError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = run_python(script, tmp_path / "in", tmp_path / "out")
    assert done.stdout.startswith("UserError"), done.stderr
    assert "can not be written (File too large)" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


# Opening


def test_audio_is_mapped_and_read_only(tmp_path):
    corpus, _ = prepared(tmp_path, [6000, 7000])
    view = corpus.audio(corpus.clips[1])
    assert not view.flags.owndata
    assert not view.flags.writeable
    assert view.dtype == np.int16
    base = view
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    assert corpus.sample_rate == RATE
    with pytest.raises(ValueError, match="'test' is unknown; choose train or validation"):
        corpus.select("test")


def test_open_says_how_to_prepare(tmp_path):
    command = "python -m experiments.prepare --input="
    missing = tmp_path / "missing"
    message_of(lambda: Corpus.open(missing), "no such folder", f"{command}DIR --output={missing}")
    (tmp_path / "empty").mkdir()
    message_of(lambda: Corpus.open(tmp_path / "empty"), f"{command}DIR --output={tmp_path}/empty")
    put_clips(tmp_path / "in", [8000])
    expected = f"{command}{tmp_path}/in --output={tmp_path}/in_corpus"
    message_of(lambda: Corpus.open(tmp_path / "in"), "not a prepared corpus", expected)


@pytest.mark.parametrize("file", ["index.json", "audio.npy"])
def test_open_with_a_file_missing(tmp_path, file):
    prepared(tmp_path, [6000, 7000])
    (tmp_path / "out" / file).unlink()
    message_of(lambda: Corpus.open(tmp_path / "out"), f"no {file}", "remove the folder")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "format version 2, this program reads 1"),
        ({"samples": 13_001}, "damaged"),
        ({"clips": []}, "damaged"),
        ({"clips": [{"name": "a"}]}, "damaged"),
        ({"sha256": None, "clips": None}, "damaged"),
    ],
)
def test_open_with_a_wrong_index(tmp_path, change, said):
    prepared(tmp_path, [6000, 7000])
    path = tmp_path / "out" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    message_of(lambda: Corpus.open(tmp_path / "out"), said, "remove the folder")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\xff"])
def test_open_with_an_index_that_is_none(tmp_path, text):
    prepared(tmp_path, [6000, 7000])
    (tmp_path / "out" / "index.json").write_bytes(text.encode("latin-1"))
    message_of(lambda: Corpus.open(tmp_path / "out"), "not the index of a corpus")


@pytest.mark.parametrize(("field", "value"), [("start", 1), ("samples", 0), ("split", "test")])
def test_open_with_a_clip_out_of_place(tmp_path, field, value):
    prepared(tmp_path, [6000, 7000])
    path = tmp_path / "out" / "index.json"
    index = json.loads(path.read_text())
    index["clips"][0][field] = value
    path.write_text(json.dumps(index))
    message_of(lambda: Corpus.open(tmp_path / "out"), "c00 does not fit")


@pytest.mark.parametrize("kept", [0, 50, 5000])
def test_open_with_truncated_audio(tmp_path, kept):
    prepared(tmp_path, [6000, 7000])
    path = tmp_path / "out" / "audio.npy"
    path.write_bytes(path.read_bytes()[:kept])
    message_of(lambda: Corpus.open(tmp_path / "out"), "audio.npy: damaged")


@pytest.mark.parametrize("audio", [np.zeros(12_999, np.int16), np.zeros(13_000, np.float32)])
def test_open_with_other_audio(tmp_path, audio):
    prepared(tmp_path, [6000, 7000])
    np.save(tmp_path / "out" / "audio.npy", audio)
    message_of(lambda: Corpus.open(tmp_path / "out"), "but index.json says int16 (13000,)")


def test_check_finds_one_changed_byte(tmp_path):
    corpus, _ = prepared(tmp_path, [6000, 7000])
    corpus.check()
    path = tmp_path / "out" / "audio.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    message_of(Corpus.open(tmp_path / "out").check, "the file was changed")


# Windows


def in_memory(lengths, rate=1000, top=3000, split="train"):
    """Makes a corpus without files; at 1000 Hz, the names give each window's first sample."""
    audio = [noise(length, seed, top) for seed, length in enumerate(lengths)]
    starts = np.cumsum([0, *lengths])
    clips = tuple(
        Clip(
            name=f"c{number}",
            source=f"c{number}.wav",
            source_rate=rate,
            source_channels=1,
            md5="",
            start=int(starts[number]),
            samples=len(samples),
            peak=float(np.abs(samples.astype(int)).max()) / 32768,
            rms_dbfs=-20.0,
            clipped=0,
            limited=0,
            split=split,
        )
        for number, samples in enumerate(audio)
    )
    index = Index(rate, int(starts[-1]), "", clips)
    return Corpus(Path("memory"), index, np.concatenate(audio)), audio


def origin(name):
    """Converts 'c3 at 1.234 s' to 3, 1234."""
    clip, _, seconds, _ = name.split(" ")
    return int(clip[1:]), round(float(seconds) * 1000)


def expected_row(clip, start, window, before, after):
    """Pads the whole clip, then cuts: shares no index arithmetic with the program."""
    clip = clip.astype(np.float64) / 32768
    if len(clip) < window:
        padded = np.pad(clip, (before, 0), mode="reflect")
        padded = np.pad(padded, (0, window + after))
    else:
        padded = np.pad(clip, (before, after), mode="reflect")
    return padded[start : start + before + window + after]


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    window=st.integers(1, 50),
    before=st.integers(0, 130),
    after=st.integers(0, 130),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 2**40),
    step=st.integers(0, 2**40),
)
def test_windows_equal_the_padded_clip(lengths, window, before, after, batch_size, seed, step):
    corpus, audio = in_memory(lengths)
    windows = Windows(corpus, "train", window, before, after, batch_size, seed)
    batch = windows.batch(step)
    assert set(batch) == {"audio", "length", "gain"}
    assert batch["audio"].shape == (batch_size, before + window + after)
    assert batch["audio"].dtype == batch["gain"].dtype == np.float32
    assert batch["length"].dtype == np.int32
    assert (batch["gain"] == 1).all()
    for row, length, name in zip(batch["audio"], batch["length"], windows.names(step), strict=True):
        number, start = origin(name)
        clip = audio[number]
        assert 0 <= start <= max(0, len(clip) - window), "the window lies in the clip"
        assert length == min(window, len(clip))
        np.testing.assert_array_equal(row, expected_row(clip, start, window, before, after))


def test_every_position_is_equally_likely():
    corpus, _ = in_memory([12, 30, 3, 10])
    windows = Windows(corpus, "train", 10, 0, 0, batch_size=26_000, seed=1)
    origins = [origin(name) for name in windows.names(0)]
    positions = [(0, p) for p in range(3)] + [(1, p) for p in range(21)] + [(2, 0), (3, 0)]
    assert set(origins) == set(positions)
    counts = np.array([origins.count(position) for position in positions])
    statistic = ((counts - 1000) ** 2 / 1000).sum()
    assert statistic < 52.6  # chi-squared with 25 degrees of freedom: exceeded in 1 of 1000


def test_a_batch_depends_on_seed_and_step_alone():
    corpus, _ = in_memory([400, 500, 600])
    options = {"window": 50, "before": 10, "after": 10, "batch_size": 4}
    windows = Windows(corpus, "train", seed=3, **options)
    forward = [windows.batch(step) for step in range(5)]
    other = Windows(corpus, "train", seed=3, **options)
    for step in reversed(range(5)):
        again = other.batch(step)
        for key, value in forward[step].items():
            np.testing.assert_array_equal(again[key], value)
        assert other.names(step) == windows.names(step)
    assert len({tuple(windows.names(step)) for step in range(5)}) == 5
    assert Windows(corpus, "train", seed=4, **options).names(0) != windows.names(0)


def test_windows_of_a_batch_are_independent():
    """Places of two windows of a batch say nothing of each other, as in a weak shuffle they do."""
    corpus, _ = in_memory([10_000] * 20)
    windows = Windows(corpus, "train", 1, 0, 0, batch_size=8, seed=0)
    names = [origin(name) for step in range(2000) for name in windows.names(step)]
    places = np.array([10_000 * number + start for number, start in names]).reshape(-1, 8)
    for apart in (1, 2, 4):
        between = (places[:, apart:] - places[:, :-apart]).ravel() % 200_000
        counts = np.bincount(between // 3125, minlength=64)
        expected = len(between) / 64
        statistic = ((counts - expected) ** 2 / expected).sum()
        assert statistic < 103.5  # chi-squared with 63 degrees of freedom: exceeded in 1 of 1000


def test_rows_are_those_of_the_whole_batch():
    corpus, _ = in_memory([400, 500, 600])
    windows = Windows(corpus, "train", 50, 10, 10, batch_size=8, seed=3)
    for step, rows in ((0, [0, 1, 2, 3]), (0, [4, 5, 6, 7]), (5, [1, 6]), (5, [7, 0])):
        part = windows.batch(step, np.array(rows))
        for key, whole in windows.batch(step).items():
            np.testing.assert_array_equal(part[key], whole[rows])


def test_windows_stay_in_their_split(tmp_path):
    corpus, clips = prepared(tmp_path, [300] * 5, rate=1000, validation=2)
    for split, expected in (("train", {"c00", "c01", "c02"}), ("validation", {"c03", "c04"})):
        windows = Windows(corpus, split, 100, 20, 20, batch_size=64, seed=0)
        assert {name.split(" ")[0] for name in windows.names(0)} == expected
        number, start = origin(windows.names(0)[0])
        row = expected_row(clips[number], start, 100, 20, 20)
        np.testing.assert_array_equal(windows.batch(0)["audio"][0], row)


def test_peak_normalization_reaches_the_same_peak_and_spares_silence():
    corpus, audio = in_memory([40, 60])
    loud, quiet = corpus.clips
    quiet = replace(quiet, rms_dbfs=-math.inf, peak=0.0)
    corpus = Corpus(corpus.folder, replace(corpus.index, clips=(loud, quiet)), corpus._audio)
    windows = Windows(corpus, "train", 40, 5, 5, 99, seed=0, peak_normalize=True)
    plain = Windows(corpus, "train", 40, 5, 5, 99, seed=0).batch(0)
    batch, numbers = windows.batch(0), [origin(name)[0] for name in windows.names(0)]
    assert set(numbers) == {0, 1}
    top = np.abs(audio[0].astype(int)).max() / 32768
    for row, unscaled, gain, number in zip(
        batch["audio"], plain["audio"], batch["gain"], numbers, strict=True
    ):
        assert gain == (np.float32(0.999 / top) if number == 0 else 1)
        np.testing.assert_allclose(row, unscaled * gain, rtol=1e-6)
        if number == 0:  # the window is the whole clip
            assert np.abs(row).max() == pytest.approx(0.999, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"window": 0}, "window 0 is too small; choose 1 or more"),
        ({"before": -1}, "before -1"),
        ({"after": -1}, "after -1"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"seed": -1}, "seed -1"),
        ({"split": "test"}, "'test' is unknown"),
        ({"split": "validation"}, "no validation clips; prepare with --validation=1"),
    ],
)
def test_windows_of_wrong_size(change, said):
    corpus, _ = in_memory([50])
    options = {"split": "train", "window": 9, "before": 0, "after": 0, "batch_size": 2, "seed": 0}
    with pytest.raises(ValueError, match=said):
        Windows(corpus, **options | change)


def test_windows_are_fast(tmp_path):
    corpus, _ = prepared(tmp_path, [60_000, 90_000, 18_000], validation=1)
    windows = Windows(corpus, "train", 17_000, 8000, 8000, batch_size=8, seed=0)
    windows.batch(0)
    seconds = []
    for step in range(50):
        began = time.perf_counter()
        windows.batch(step)
        seconds.append(time.perf_counter() - began)
    assert np.median(seconds) < 0.01  # measured: 0.12 ms; the bound leaves room for a busy machine


# LJSpeech


@pytest.mark.skipif(not MINI.is_dir(), reason="LJSpeech is not here (../shared/data/ljspeech_mini)")
def test_ljspeech(tmp_path):
    report = prepare_corpus(MINI, tmp_path / "out", validation=4)
    corpus = Corpus.open(tmp_path / "out")
    corpus.check()
    assert report.findings == ()
    lines = (MINI / "metadata.csv").read_text(encoding="utf-8").splitlines()
    assert [clip.name for clip in corpus.clips] == [line.split("|")[0] for line in lines]
    assert len(corpus.select("validation")) == 4
    for clip in corpus.clips:
        with wave.open(str(MINI / clip.source), "rb") as file:
            expected = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        np.testing.assert_array_equal(corpus.audio(clip), expected)
