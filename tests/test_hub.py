"""Addresses of the Hugging Face hub, and what becomes of them at a hub on this machine."""

import sys
from pathlib import Path

import pytest

from tests.hub_server import READER, TOKEN, Repository
from wf_jax.errors import UserError
from wf_jax.hub import check_repository, local_file, local_folder

FILES = {
    "a.json": b"{}",
    "one.npz": b"1" * 10,
    "deep/amp [loud].nam": b"{}",
    "large.bin": b"0" * 99,
}
MOST = 50  # bytes


@pytest.fixture
def hub(hub, monkeypatch):
    """Gives a hub with a repository, which the user may read."""
    hub.repositories["user/amp"] = Repository(files=FILES)
    monkeypatch.setenv("HF_TOKEN", READER)
    return hub


def folder(name, files=("a.json", "*.npz"), most=MOST):
    return local_folder(name, files, most)


def said(call, *arguments):
    """Returns the line of an error."""
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# Without the package


@pytest.mark.parametrize(
    "name", ["amp.nam", "a/b", "/x/y", "", "HF://a/b", "hf:/user/amp", Path("hf://user/amp")]
)
def test_what_is_no_address_is_a_path(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert local_folder(name, (), 0) == local_file(name, 0) == Path(name)


WRONG = (
    *("", "user", "user/", "/amp", "user/amp/", "user/amp@", "user/amp@../x", "user/amp@a b"),
    *("user/amp//a.nam", "user/amp/../a.nam", "user/amp/a/./b.nam", "user/amp\n", "user/amp/a\nb"),
    *("us er/amp", "user/-amp", "user/a--b", "user/ämp", "user/.."),
)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_address(name):
    for find in (folder, lambda address: local_file(address, MOST)):
        assert "no address of the hub; write hf://USER/NAME" in said(find, f"hf://{name}")


def test_a_file_and_a_folder_are_told_apart():
    assert "names no file; give hf://USER/NAME/FILE" in said(local_file, "hf://user/amp", 0)
    assert "names a file; give hf://USER/NAME" in said(folder, "hf://user/amp/a.nam")


@pytest.mark.parametrize("name", ["user/amp", "a/b", "my-org/amp_1.2-x", "u/" + 94 * "a"])
def test_names_of_repositories(name):
    check_repository(name)


@pytest.mark.parametrize(
    "name",
    ["amp", "a/b/c", "/amp", "user/", "u/.amp", "u/amp.", "hf://u/a", "u/a b", "u/" + 95 * "a"],
)
def test_what_names_no_repository(name):
    assert f"{name}: no name of a repository; give USER/NAME" in said(check_repository, name)


def test_without_the_package_a_line_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    line = "the hub takes the package huggingface_hub (extra hub): pip install"
    assert f"hf://user/amp: {line}" in said(folder, "hf://user/amp")
    assert f"hf://user/amp/a.nam: {line}" in said(local_file, "hf://user/amp/a.nam", 9)


# Downloads


def test_a_folder_has_the_files_that_were_asked_for(hub):
    found = folder("hf://user/amp")
    there = {path.name: path.read_bytes() for path in found.rglob("*") if path.is_file()}
    assert there == {"a.json": FILES["a.json"], "one.npz": FILES["one.npz"]}


def test_no_bar_is_drawn_in_a_log_file(hub, capfd):
    from huggingface_hub.utils import are_progress_bars_disabled

    folder("hf://user/amp")
    assert capfd.readouterr() == ("", "")
    assert not are_progress_bars_disabled()


def test_a_file_by_its_path(hub):
    assert local_file("hf://user/amp/deep/amp [loud].nam", MOST).read_bytes() == b"{}"


def test_a_revision(hub):
    repository = hub.repositories["user/amp"]
    repository.commits.append(FILES | {"a.json": b"[]"})
    first = f"{0:040x}"
    assert (folder("hf://user/amp") / "a.json").read_bytes() == b"[]"
    assert (folder(f"hf://user/amp@{first}") / "a.json").read_bytes() == b"{}"
    assert local_file("hf://user/amp@main/a.json", MOST).read_bytes() == b"[]"
    assert local_file(f"hf://user/amp@{first}/a.json", MOST).read_bytes() == b"{}"


def test_the_newest_is_downloaded_and_nothing_twice(hub):
    folder("hf://user/amp")
    hub.repositories["user/amp"].commits.append(FILES | {"a.json": b"[]"})
    hub.requests.clear()
    assert (folder("hf://user/amp") / "a.json").read_bytes() == b"[]"
    assert [line for line in hub.requests if line.startswith("GET") and "/resolve/" in line] == [
        f"GET /user/amp/resolve/{1:040x}/a.json HTTP/1.1"
    ]


@pytest.mark.parametrize("offline", [False, True])
def test_the_cache_answers_where_the_hub_does_not(hub, offline, monkeypatch):
    from huggingface_hub import constants

    names = "hf://user/amp", "hf://user/amp/deep/amp [loud].nam"
    before = folder(names[0]), local_file(names[1], MOST)
    hub.broken = not offline
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    assert (folder(names[0]), local_file(names[1], MOST)) == before
    line = said(folder, "hf://user/other")
    assert ("HF_HUB_OFFLINE forbids" if offline else "the hub answers 503: under repair") in line
    said(local_file, "hf://user/amp/large.bin", 99)


def test_sizes_are_bounded_before_the_download(hub):
    assert "99 bytes, but 50 are the most" in said(local_file, "hf://user/amp/large.bin", MOST)
    assert "12 bytes, but 11 are the most" in said(folder, "hf://user/amp", ("a.json", "*.npz"), 11)
    assert not [line for line in hub.requests if line.startswith("GET") and "/resolve/" in line]


def test_a_file_that_is_larger_than_it_claims_is_refused(hub):
    hub.claimed["large.bin"] = 9  # when it is asked for
    line = said(local_file, "hf://user/amp/large.bin", MOST)
    assert "should be of size 9 but has size 99" in line


def test_a_file_of_unknown_size_is_refused(hub):
    hub.claimed["large.bin"] = None
    line = said(local_file, "hf://user/amp/large.bin", MOST)
    assert "the hub does not say how large it is; try again later" in line


def test_what_is_not_there(hub):
    hub.repositories["user/mine"] = Repository(private=True, files=FILES)
    none = "no such repository, or not for you; check the name, or log in with `hf auth login`"
    for name in ("hf://user/none", "hf://user/mine"):
        assert f"{name}: {none}" in said(folder, name)
        assert f"{name}/a.json: {none}" in said(local_file, f"{name}/a.json", MOST)
    assert "no such revision" in said(folder, "hf://user/amp@v9")
    assert "no such revision" in said(local_file, "hf://user/amp@v9/a.json", MOST)
    assert "the repository has no such files" in said(local_file, "hf://user/amp/none.nam", MOST)
    assert "the repository has no such files" in said(folder, "hf://user/amp", ("*.x", "y"))


def test_a_private_repository_with_its_token(hub, monkeypatch):
    hub.repositories["user/mine"] = Repository(private=True, files=FILES)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert local_file("hf://user/mine/a.json", MOST).read_bytes() == b"{}"


def test_no_network_is_said_at_once(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    for call in (folder, lambda name: local_file(f"{name}/a.json", MOST)):
        assert "no connection to the hub, or a broken one (" in said(call, "hf://none/none")


def test_a_full_disk_is_the_system_s_error(hub, monkeypatch):
    def full(*wanted, **others):
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    with pytest.raises(OSError, match="No space left"):
        local_file("hf://user/amp/a.json", MOST)
