"""Lists of captures: what a manifest and folders name, and the faults that are one line each."""

import pytest

from data_pipeline.manifest import models_in, read_manifest, recordings_in
from wf_jax.errors import UserError

METADATA = ("name", "gear_make", "tone_type")


@pytest.fixture
def manifest(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "list.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def made(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def test_a_manifest_names_files_beside_it(manifest, tmp_path):
    path = manifest(
        "output,name,input,latency,gear_make,teacher\n"
        'wet/a.wav,"Lead, bright",di.wav,37,Acme,\n'
        "\n"
        ",,,,,old.nam\n"
    )
    first, second = read_manifest(path, METADATA)
    assert first.name == "Lead, bright"
    assert first.output == str(tmp_path / "wet" / "a.wav")
    assert first.input == str(tmp_path / "di.wav")
    assert first.latency == "37"
    assert first.metadata == {"name": "Lead, bright", "gear_make": "Acme"}
    assert (second.name, second.teacher) == ("old", str(tmp_path / "old.nam"))
    assert (second.output, second.input, second.latency, second.metadata) == ("", "", "", {})


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_spreadsheets_save_in_several_ways(manifest, delimiter, encoding, end):
    lines = [("Output", "Name"), ("ä.wav", "Ä"), ("b.wav", "")]
    path = manifest(end.join(delimiter.join(line) for line in lines), encoding)
    assert [entry.name for entry in read_manifest(path, METADATA)] == ["Ä", "b"]


@pytest.mark.parametrize(
    ("cells", "fault"),
    [(",,x", "neither output nor teacher"), ("a.wav,b.nam,x", "both output and teacher")],
)
def test_a_line_that_names_no_file_or_two_is_its_own_fault(manifest, cells, fault):
    bad, good = read_manifest(manifest(f"output,teacher,name\n{cells}\nc.wav,,c\n"), METADATA)
    assert bad.fault == f"list.csv, line 2: {fault}; name one of them"
    assert good.fault == ""


def test_a_line_of_more_cells_than_columns_is_its_own_fault(manifest):
    bad, good, same = read_manifest(
        manifest("output,name\na.wav,Lead, bright\nb.wav,b,,\nc.wav\n"), METADATA
    )
    assert bad.fault == (
        "list.csv, line 2: 3 cells, and the first line names 2 columns; put a cell with commas in "
        "quotes"
    )
    assert (good.fault, same.fault) == ("", "")
    assert (good.name, same.name) == ("b", "c")


def test_a_cell_names_several_files_or_our_playing(manifest, tmp_path):
    made(tmp_path, "one, two.nam", "one, four.wav")
    path = manifest(
        "teacher,input,output\n"
        '"pedal.nam, amps/amp.nam","built-in,di.wav",\n'
        '"one, two.nam",built-in,\n'
        ',di.wav,"one, four.wav"\n'
        ',di.wav,"none, four.wav"\n'
    )
    chain, single, recording, missing = read_manifest(path, METADATA)
    assert chain.teacher == f"{tmp_path / 'pedal.nam'},{tmp_path / 'amps' / 'amp.nam'}"
    assert chain.input == f"built-in,{tmp_path / 'di.wav'}"
    assert chain.name == "pedal+amp"
    assert (single.teacher, single.input) == (str(tmp_path / "one, two.nam"), "built-in")
    assert single.name == "one, two"
    assert recording.output == str(tmp_path / "one, four.wav")
    assert missing.output == str(tmp_path / "none, four.wav")


def test_a_cell_of_many_files_may_be_longer_than_a_name(manifest, tmp_path):
    names = [f"model of an amp {i:02d}.nam" for i in range(40)]
    (entry,) = read_manifest(manifest(f'teacher\n"{",".join(names)}"\n'), METADATA)
    assert entry.teacher == ",".join(str(tmp_path / name) for name in names)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "names no captures"),
        ("output\n", "names no captures"),
        ("output,colour\na.wav,red\n", "a column 'colour' is unknown; the first line names col"),
        ("name,input\na,b.wav\n", "no column output or teacher"),
        ("output,output\na.wav,b.wav\n", "a column is there twice"),
        ("output,name\na.wav,x\nb.wav,X\n", "two captures are called x; give each its own name"),
    ],
)
def test_a_bad_manifest_is_one_line(manifest, text, fault):
    with pytest.raises(UserError) as error:
        read_manifest(manifest(text), METADATA)
    assert fault in str(error.value)
    assert "list.csv: " in str(error.value)
    assert "\n" not in str(error.value)


def test_a_manifest_that_is_no_text_or_missing(manifest, tmp_path):
    with pytest.raises(UserError, match="not a text in UTF-8; save it as CSV"):
        read_manifest(manifest("output\nä.wav\n", "latin-1"), METADATA)
    with pytest.raises(UserError, match=r"none\.csv: cannot be read: No such file"):
        read_manifest(tmp_path / "none.csv", METADATA)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("a/b", "a_b"),
        ("..", "_"),
        (".hidden", "hidden"),
        ("a\u202eb", "a_b"),
        ("captures.csv", "captures.csv_"),
        ("x" * 300, "x" * 100),
    ],
)
def test_any_name_becomes_that_of_a_folder(manifest, name, folder):
    (entry,) = read_manifest(manifest(f"output,name\na.wav,{name}\n"), METADATA)
    assert entry.name == folder
    assert entry.metadata["name"] == name


def test_a_folder_of_recordings_leaves_out_the_di(tmp_path):
    wet = made(tmp_path / "wet", "b.wav", "a.flac", "a.wav", "di.wav", "notes.txt", "._b.wav")
    entries = recordings_in(wet, wet / "di.wav")
    assert [entry.name for entry in entries] == ["a.flac", "a.wav", "b"]
    assert {entry.input for entry in entries} == {str(wet / "di.wav")}


def test_pairs_by_name(tmp_path):
    wet = made(tmp_path / "wet", "a.wav", "b.wav", "c.wav")
    dry = made(tmp_path / "dry", "a.flac", "b.wav", "b.flac")
    first, second, third = recordings_in(wet, dry)
    assert (first.input, first.fault) == (str(dry / "a.flac"), "")
    assert second.fault == f"b.wav: 2 files of that name in {dry}; give both one name"
    assert third.fault == f"c.wav: no DI of that name in {dry}; give both one name"


def test_a_folder_of_models(tmp_path):
    folder = made(tmp_path / "old", "x.nam", "y.NAM", "z.json")
    assert [entry.teacher for entry in models_in(folder)] == [
        str(folder / "x.nam"),
        str(folder / "y.NAM"),
    ]


@pytest.mark.parametrize("list_files", [models_in, lambda folder: recordings_in(folder, folder)])
def test_a_folder_with_nothing_is_one_line(tmp_path, list_files):
    with pytest.raises(UserError, match="name the folder that holds them"):
        list_files(made(tmp_path / "empty", "notes.txt"))
