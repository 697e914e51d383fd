"""A release on the Hugging Face hub: pushed, and loaded by its address."""

import json
import shutil
import sys

import numpy as np
import pytest
import soundfile
import yaml

from experiments.playing.rendering import Rendering, render_files
from experiments.releases.card import addressed, card
from experiments.releases.push import Push, push
from experiments.vocoder.speaking import Speech, speak
from tests.export import small_releases as releases
from tests.hub_server import READER, Repository
from wf_jax.amps import load_amp
from wf_jax.errors import UserError
from wf_jax.export import load
from wf_jax.export.manifest import CARD, MANIFEST, read_manifest

NAME, ADDRESS = "user/amp", "hf://user/amp"


@pytest.fixture(scope="module")
def amp(tmp_path_factory):
    """Makes the release of an amp, with its card."""
    folder = releases.amp_release(tmp_path_factory.mktemp("amp") / "r", "lstm", platforms=("cpu",))
    (folder / CARD).write_text(card(read_manifest(folder)))
    return folder


def said(given):
    """Returns the line of a push that is refused."""
    with pytest.raises(UserError) as caught:
        push(given)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def renamed(release, folder):
    """Copies a release, with "other" as the name of its model."""
    manifest = json.loads((release / MANIFEST).read_text())
    shutil.copytree(release, folder)
    (folder / MANIFEST).write_text(json.dumps(manifest | {"name": "other"}))
    return folder


# Without the package


def test_what_cannot_be_pushed_is_said_before_the_package_is_asked_for(amp, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert said(Push(str(amp), "amp")).startswith("amp: no name of a repository; give USER/NAME")
    assert "none: no such folder; name one that" in said(Push("none", NAME))
    assert "manifest.json: missing; name a folder" in said(Push(str(tmp_path), NAME))
    damaged = shutil.copytree(amp, tmp_path / "damaged")
    (damaged / "params.npz").write_bytes(b"0")
    assert "params.npz: 1 bytes, but manifest.json says" in said(Push(str(damaged), NAME))
    assert said(Push(str(amp), NAME)).startswith(f"{NAME}: the hub takes the package hugging")


def test_the_card_is_what_a_hub_expects(amp):
    text = (amp / CARD).read_text()
    about = yaml.safe_load(text.split("---\n")[1])
    assert about["library_name"] == "wf_jax"
    assert about["pipeline_tag"] == "audio-to-audio"
    assert {"jax", "neural-amp-modeler", "lstm"} <= set(about["tags"])
    assert 'load("RELEASE")' in text
    assert f'amp = load("{ADDRESS}")' in addressed(text, ADDRESS)


# Pushes


def test_a_release_in_one_commit(hub, amp, capsys):
    before = contents(amp)
    push(Push(str(amp), NAME))
    repository = hub.repositories[NAME]
    assert len(repository.commits) == 2
    assert repository.messages[-1] == "Release of amp"
    assert not repository.private
    text = before[CARD].decode().replace('load("RELEASE")', f'load("{ADDRESS}")')
    assert repository.files == before | {CARD: text.encode()}
    assert contents(amp) == before
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{NAME}: {len(before)} files, ")
    assert lines[1:] == [
        f"{hub.url}/{NAME}",
        f'use it: wf_jax.export.load("{ADDRESS}"), as its README.md shows',
    ]


def test_what_somebody_added_goes_too_and_nothing_hidden(hub, amp, tmp_path):
    folder = shutil.copytree(amp, tmp_path / "r")
    (folder / "LICENSE").write_text("mine")
    (folder / ".env").write_text("secret")
    (folder / ".git").mkdir()
    (folder / "link").symlink_to(folder / ".env")
    (folder / CARD).unlink()
    push(Push(str(folder), NAME))
    files = hub.repositories[NAME].files
    assert set(files) == {*contents(amp), "LICENSE"}
    assert files[CARD].decode().startswith("---\nlibrary_name: wf_jax\n")


def test_the_functions_of_an_earlier_release_are_removed(hub, amp):
    files = {"step_9.jaxexp": b"", "render.jaxexp": b"", "notes.txt": b""}
    hub.repositories[NAME] = Repository(files=files)
    push(Push(str(amp), NAME))
    assert set(hub.repositories[NAME].files) == {*contents(amp), "notes.txt"}
    assert len(hub.repositories[NAME].commits) == 2


def test_a_private_repository(hub, amp):
    push(Push(str(amp), NAME, private=True))
    push(Push(str(amp), NAME, private=True))
    assert hub.repositories[NAME].private
    hub.repositories["user/open"] = Repository()
    assert "is there, and everybody sees it" in said(Push(str(amp), "user/open", private=True))
    assert not hub.repositories["user/open"].files


@pytest.mark.parametrize(
    ("token", "line"),
    [
        ("", f"{NAME}: no token of the hub; log in with `hf auth login`, or set HF_TOKEN"),
        (READER, f"{NAME}: this token has no permission for it; log in with"),
        ("hf_old", f"{NAME}: the hub does not know this token; log in with"),
    ],
)
def test_who_may_not_push(hub, amp, monkeypatch, token, line):
    monkeypatch.setenv("HF_TOKEN", token)
    assert said(Push(str(amp), NAME)).startswith(line)
    assert not hub.repositories


def test_no_network(hub, amp, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert "no connection to the hub, or a broken one (" in said(Push(str(amp), NAME))


def test_a_card_that_the_hub_does_not_take(hub, amp):
    hub.card_errors = ['"license" must be one of apache-2.0, mit']
    assert '"license" must be one of apache-2.0, mit' in said(Push(str(amp), NAME))
    assert not hub.repositories[NAME].files


# By its address


def test_a_release_loads_by_its_address(hub, amp, tmp_path):
    push(Push(str(amp), NAME))
    x = releases.clip(1, 500)
    loaded = load(ADDRESS)
    np.testing.assert_array_equal(loaded.render(x), load(amp).render(x))
    push(Push(str(renamed(amp, tmp_path / "other")), NAME))
    assert load(ADDRESS).manifest.name == "other"
    assert load(f"{ADDRESS}@{1:040x}").manifest == loaded.manifest


def test_a_damaged_release_is_refused(hub, amp):
    push(Push(str(amp), NAME))
    hub.repositories[NAME].files["params.npz"] = b"other"
    with pytest.raises(UserError, match=r"params\.npz: 5 bytes, but manifest\.json says"):
        load(ADDRESS)


def test_a_model_plays_by_its_address(hub, amp, tmp_path):
    push(Push(str(amp), NAME))
    soundfile.write(tmp_path / "di.wav", releases.clip(1, 500)[0], 48000)
    for model, name in ((f"{ADDRESS}/model.nam", "there"), (str(amp / "model.nam"), "here")):
        wav = str(tmp_path / f"{name}.wav")
        assert render_files(Rendering(model, str(tmp_path / "di.wav"), wav)) == 0
    there, here = ((tmp_path / f"{name}.wav").read_bytes() for name in ("there", "here"))
    assert there == here
    assert load_amp(f"{ADDRESS}/model.nam").receptive_field


@pytest.mark.slow
def test_a_voice_speaks_by_its_address(hub, tmp_path):
    folder = releases.vocoder_release(tmp_path / "voice", platforms=("cpu",))
    push(Push(str(folder), "user/voice"))
    np.save(tmp_path / "mel.npy", releases.mels(1, 20)[0])
    options = dict(temperature=0.7, seed=0, denoise=0.0, format="pcm24", resample=False)
    for model, name in (("hf://user/voice", "there"), (str(folder), "here")):
        given = [str(tmp_path / "mel.npy"), str(tmp_path / name)]
        speak(Speech(model, *given, **options, batch_size=None, engine="auto", any_scale=True))
    wavs = [(tmp_path / name / "mel.wav").read_bytes() for name in ("there", "here")]
    assert wavs[0] == wavs[1]
    assert not [line for line in hub.requests if ".jaxexp" in line and line.startswith("GET")]
