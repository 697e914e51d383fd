"""Corpora as other tools write them: lists in other forms, links, suffixes, extra files."""

import os
import unicodedata

import numpy as np
import pytest
import soundfile

from data_pipeline import audio_folders
from data_pipeline.corpus_preparation import prepare_corpus
from tests.data_pipeline.test_corpus import RATE, message_of, names, noise, put_wav
from wf_jax.errors import UserError

IDS = ("A-1", "A-2", "A-3")
LINES = [f"{name}|né „one“|né „one“\n" for name in IDS]


@pytest.fixture
def folder(tmp_path):
    """Makes recordings A-1 to A-3 in in/wavs, and their metadata.csv."""
    for seed, name in enumerate(IDS):
        put_wav(tmp_path / "in" / "wavs" / f"{name}.wav", noise(8000, seed))
    (tmp_path / "in" / "metadata.csv").write_text("".join(LINES), encoding="utf-8")
    return tmp_path


def found(folder, text, coding="utf-8"):
    """Returns the names of the clips and the findings, with this metadata.csv."""
    (folder / "in" / "metadata.csv").write_bytes(text.encode(coding))
    clips, report = names(folder, validation=1)
    return clips, report.findings


def refused(folder, text, *said, coding="utf-8"):
    (folder / "in" / "metadata.csv").write_bytes(text.encode(coding, "surrogateescape"))
    return message_of(lambda: names(folder, validation=1), "metadata.csv", *said)


# metadata.csv


@pytest.mark.parametrize(
    "coding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"]
)
def test_encodings(folder, coding):
    text = "".join(LINES)
    text = text.replace("„", "").replace("“", "") if coding == "latin-1" else text
    assert found(folder, text, coding) == ([*IDS], ())


def test_utf_16_with_its_mark_the_other_way_round(folder):
    text = "\ufeff" + "".join(LINES)
    assert found(folder, text, "utf-16-be") == ([*IDS], ())


@pytest.mark.parametrize("form", ["{}.wav", "wavs/{}.wav", "wavs/{}", "./wavs/{}.wav", '"{}"'])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ids_and_line_ends_of_other_tools(folder, form, end):
    text = end.join(f"{form.format(name)}|said{end and ''}" for name in IDS)
    assert found(folder, text) == ([*IDS], ())


def test_ids_of_windows(folder):
    assert found(folder, "".join(f"wavs\\{name}.wav|said\n" for name in IDS)) == ([*IDS], ())


@pytest.mark.parametrize("separator", "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\r")
def test_only_line_ends_end_a_line(folder, separator):
    text = "".join(f"{name}|one{separator}two|three{separator}\n" for name in IDS)
    assert found(folder, text) == ([*IDS], ())


@pytest.mark.parametrize(
    "header", ["id|text", "audio_file|text|speaker", "wav_filename", "File Name|x"]
)
def test_a_header_line_is_left_out_and_said(folder, header):
    clips, findings = found(folder, f"{header}\n" + "".join(LINES))
    assert clips == [*IDS]
    first = header.split("|")[0]
    assert findings == (f"the first line of metadata.csv ({first}) names columns, left out",)


def test_a_recording_called_like_a_header(folder):
    put_wav(folder / "in" / "wavs" / "id.wav", noise(8000, 9))
    assert found(folder, "id|said\n" + "".join(LINES)) == (["id", *IDS], ())


@pytest.mark.parametrize("listed", ["NFC", "NFD"])
@pytest.mark.parametrize("there", ["NFC", "NFD"])
def test_names_composed_differently(folder, listed, there):
    name = "Zoë-ação-한국"
    put_wav(folder / "in" / "wavs" / f"{unicodedata.normalize(there, name)}.wav", noise(8000, 7))
    text = unicodedata.normalize(listed, name) + "|said\n" + "".join(LINES)
    clips, findings = found(folder, text)
    assert [unicodedata.normalize("NFC", clip) for clip in clips] == [name, *IDS]
    assert findings == ()


def test_a_name_that_is_in_no_encoding(folder):
    name = os.fsdecode(b"Zo\xeb")
    put_wav(folder / "in" / "wavs" / f"{name}.wav", noise(8000, 7))
    text = f"{name}|said\n" + "".join(LINES)
    (folder / "in" / "metadata.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert names(folder, validation=1)[0] == [name, *IDS]


def test_both_compositions_are_two_recordings(folder):
    both = [unicodedata.normalize(form, "é") for form in ("NFD", "NFC")]
    for seed, name in enumerate(both):
        put_wav(folder / "in" / "wavs" / f"{name}.wav", noise(8000, 7 + seed))
    assert found(folder, "".join(f"{name}|said\n" for name in both))[0] == both


def test_the_same_name_with_two_suffixes(folder):
    soundfile.write(folder / "in" / "wavs" / "A-1.flac", noise(8000, 9), RATE)
    text = "A-1.flac|said\nA-1.wav|said\nA-2|said\n"
    assert found(folder, text)[0] == ["A-1.flac", "A-1.wav", "A-2"]


@pytest.mark.parametrize(
    "id",
    [
        "../../etc/x",
        "/etc/passwd",
        "wavs/../../x",
        "..\\x",
        "C:\\x.wav",
        "c:/x",
        "../wavs/A-1",
        "..",
    ],
)
def test_ids_that_lead_out_of_the_corpus(folder, id):
    put_wav(folder / "x.wav", noise(8000))
    refused(folder, "".join(LINES) + f"{id}|said\n", f"line 4: '{id}' leads outside")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_links_out_of_the_corpus_are_not_listed(folder, kind):
    put_wav(folder / "other" / "x.wav", noise(8000, 8))
    target, link = (("x.wav", "y.wav"), ("", "y"))[kind == "folder"]
    (folder / "in" / "wavs" / link).symlink_to(folder / "other" / target)
    id = "y" if kind == "file" else "y/x"
    refused(folder, f"{id}|said\n" + "".join(LINES), "line 1: ", "a link to a file outside")


def test_links_that_are_not_listed_are_no_way_out(folder):
    """A folder behind two links is listed once, a hidden one never."""
    put_wav(folder / "other" / "x.wav", noise(8000, 8))
    for link in ("a", "b", ".c"):
        (folder / "in" / "wavs" / link).symlink_to(folder / "other")
        refused(folder, f"{link}/x|said\n" + "".join(LINES), "line 1: ", "a link to a file outside")


def test_a_pipe_that_is_named_is_not_waited_for(folder):
    os.mkfifo(folder / "in" / "wavs" / "B.wav")
    (folder / "in" / "metadata.csv").write_text("B|said\n" + "".join(LINES), encoding="utf-8")
    message_of(lambda: names(folder, validation=1), "1 of 4 files", "B.wav: is a pipe")


def test_links_within_the_corpus_and_to_wavs(folder):
    (folder / "in" / "wavs").rename(folder / "elsewhere")
    (folder / "in" / "wavs").symlink_to(folder / "elsewhere")
    (folder / "elsewhere" / "B.wav").symlink_to("A-1.wav")
    clips, findings = found(folder, "B|said\nA-2|said\n")
    assert clips == ["B", "A-2"]
    assert findings == ("2 files not in metadata.csv, left out: wavs/A-1.wav, wavs/A-3.wav",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no recordings; a line of it is id|text"),
        ("\ufeff\n\n", "names no recordings"),
        ("|a\n|b\n", "names no recordings"),
        ("A-1,said\nA-2,said\n", "separate the id from the text with |"),
        ("A-1\tsaid\nA-2\tsaid\n", "separate the id from the text with |"),
        ("B-1|said\nB-2|said\n", "none of its lines names a recording in wavs (line 2: 'B-2')"),
        ("id|said\n", "names a recording in wavs (line 1: 'id')"),
        ("A-1|a\0b\nA-2|c\n", "save it as UTF-8"),
        ("A-1|said\nZo\udceb|said\n", r"line 2: 'Zo\xeb' is not UTF-8; save the file as UTF-8"),
        ("Zo\udceb|said\n", "save it as UTF-8"),
    ],
)
def test_lists_that_do_not_fit_are_blamed_for_what_they_are(folder, text, said):
    refused(folder, text, said)


def test_a_cut_off_utf_16_file(folder):
    data = "".join(LINES).encode("utf-16")[:-1]
    (folder / "in" / "metadata.csv").write_bytes(data)
    message_of(lambda: names(folder, validation=1), "metadata.csv", "save it as UTF-8")


# Folders


def test_linked_folders_are_followed_once(tmp_path):
    put_wav(tmp_path / "disk" / "p225" / "a.wav", noise(8000, 1))
    put_wav(tmp_path / "in" / "p226" / "b.wav", noise(8000, 2))
    (tmp_path / "in" / "p225").symlink_to(tmp_path / "disk" / "p225")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in" / "p226")
    (tmp_path / "in" / "p226" / "up").symlink_to("..")
    (tmp_path / "disk" / "p225" / "circle").symlink_to(tmp_path / "in")
    clips, report = names(tmp_path, validation=1)
    assert clips == ["p225/a", "p226/b"]
    assert report.index.duplicates == ()


def test_many_links_between_folders_end_soon(tmp_path):
    for number in range(60):
        (tmp_path / "in" / f"d{number}").mkdir(parents=True)
        for other in range(60):
            (tmp_path / "in" / f"d{number}" / f"to{other}").symlink_to(f"../d{other}")
    put_wav(tmp_path / "in" / "d7" / "a.wav", noise(8000))
    assert audio_folders.list_audio(tmp_path / "in").audio == ["d7/a.wav"]


def test_a_link_that_leads_nowhere_is_said(tmp_path):
    put_wav(tmp_path / "in" / "a.wav", noise(8000))
    (tmp_path / "in" / "b.wav").symlink_to("missing.wav")
    message_of(lambda: names(tmp_path, validation=0), "1 of 2 files", "b.wav: no such file")


def test_a_pipe_is_not_waited_for(tmp_path):
    put_wav(tmp_path / "in" / "a.wav", noise(8000))
    os.mkfifo(tmp_path / "in" / "b.wav")
    clips, report = names(tmp_path, validation=0)
    assert clips == ["a"]
    assert report.passed_over == "1 .wav"


@pytest.mark.parametrize(
    ("suffix", "form"),
    [
        ("wave", "WAV"),
        ("w64", "W64"),
        ("rf64", "RF64"),
        ("aifc", "AIFF"),
        ("AIF", "AIFF"),
        ("caf", "CAF"),
        ("au", "AU"),
    ],
)
def test_every_suffix_that_is_read(tmp_path, suffix, form):
    (tmp_path / "in").mkdir()
    samples = noise(8000)
    path = tmp_path / "in" / f"a.{suffix}"
    soundfile.write(path, samples, RATE, subtype="PCM_16", format=form)
    assert names(tmp_path, validation=0)[0] == ["a"]
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "audio.npy"), samples)


def test_what_was_passed_over_is_counted(tmp_path):
    put_wav(tmp_path / "in" / "a" / "a.wav", noise(8000))
    for name in ("a/a.txt", "b.TXT", "c.mp4", "README", ".hidden.txt", ".x/y.txt"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text("no audio")
    report = prepare_corpus(tmp_path / "in", tmp_path / "out", validation=0)
    assert report.passed_over == "2 .txt, 1 without suffix, 1 .mp4"
    (tmp_path / "in" / "a" / "a.wav").unlink()
    message_of(lambda: names(tmp_path), "no recordings (.wav", "among 2 .txt, 1 without suffix")


def test_metadata_itself_is_not_passed_over(folder):
    (folder / "in" / "README").write_text("read me")
    report = prepare_corpus(folder / "in", folder / "out", validation=1)
    assert report.passed_over == "1 without suffix"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    put_wav(tmp_path / "in" / "a.wav", noise(8000))
    (tmp_path / "in" / "secret").mkdir(mode=0)
    with pytest.raises(UserError, match="secret: can not be read"):
        names(tmp_path, validation=0)
