"""Studio speaks: by a model's folder and by a release, streamed."""

import io
import json
import re
from urllib.parse import unquote

import jax
import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from data_pipeline.synthetic_speech import synthetic_speech
from experiments.studio.voices import TEMPERATURE
from experiments.terminal.main_flags import flags_of
from tests.experiments.studio_server import serving
from wf_jax.audio.mel import mel_spectrogram
from wf_jax.flows.model_folder import save_model
from wf_jax.flows.synthesis import synthesize
from wf_jax.flows.waveflow import WaveFlow
from wf_jax.flows.waveflow_config import WaveFlowConfig
from wf_jax.modules import split

CONFIG = WaveFlowConfig(flows=2, layers=2, channels=4, height=8)


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda v: np.float32(v + 0.02 * rng.standard_normal(v.shape)), WaveFlow(CONFIG, rng)
    )


@pytest.fixture(scope="module")
def studio(tmp_path_factory, model):
    place = tmp_path_factory.mktemp("voices")
    save_model(place / "Stimme ü", CONFIG, split(model)[1])
    with serving(place / "studio", voices=[place / "Stimme ü", place / "none"]) as client:
        yield client


def mel_file(seconds: float) -> tuple[np.ndarray, bytes]:
    mel = np.asarray(mel_spectrogram(np.float32(synthetic_speech(seconds)), CONFIG.mel))
    buffer = io.BytesIO()
    np.save(buffer, mel)
    return mel, buffer.getvalue()


def test_it_speaks_what_the_model_speaks(studio, model):
    voices = studio.json("GET", "/voices")[1]["voices"]
    assert voices[0] == {"id": "folder-0", "name": "Stimme ü"}
    mel, content = mel_file(0.5)
    given = {"voice": "folder-0", "input": ("Übung.npy", content), "seed": 3, "temperature": 0.5}
    status, headers, wav = studio.form("/speak", **given)
    assert (status, int(headers["content-length"])) == (200, len(wav)), wav
    audio, rate = soundfile.read(io.BytesIO(wav))
    assert rate == CONFIG.mel.sample_rate
    ((_, expected),) = synthesize(model, [mel], seed=3, temperature=0.5)
    np.testing.assert_allclose(audio, np.clip(expected, -1, 1), atol=2**-15)


def test_the_usual_temperature_is_that_of_the_terminal(studio, model):
    mel, content = mel_file(0.3)
    _, headers, wav = studio.form("/speak", voice="folder-0", input=("a.npy", content))
    assert "x-note" not in headers
    ((_, expected),) = synthesize(model, [mel])
    audio = soundfile.read(io.BytesIO(wav))[0]
    np.testing.assert_allclose(audio, np.clip(expected, -1, 1), atol=2**-15)
    page = studio.ask("GET", "/")[2].decode()
    assert float(re.search(r'name="temperature"[^>]* value="([\d.]+)"', page)[1]) == TEMPERATURE
    described = studio.json("GET", "/openapi.json")[1]["paths"]["/speak"]["post"]["requestBody"]
    fields = described["content"]["multipart/form-data"]["schema"]["properties"]
    assert fields["temperature"]["default"] == TEMPERATURE
    assert float(flags_of("synthesize")["temperature"].default) == TEMPERATURE


def test_what_is_doubtful_about_a_mel_is_told(studio):
    buffer = io.BytesIO()
    np.save(buffer, np.linspace(-11, 1, 80, dtype=np.float32)[:, None].repeat(9, axis=1))
    status, headers, wav = studio.form(
        "/speak", voice="folder-0", input=("ü.npy", buffer.getvalue())
    )
    assert status == 200, wav
    assert "its upper bands are louder" in unquote(headers["x-note"])
    described = studio.json("GET", "/openapi.json")[1]["paths"]["/speak"]["post"]["responses"]
    assert "x-note" in described["200"]["headers"]


def test_a_recording_is_spoken_at_its_length(studio):
    buffer = io.BytesIO()
    soundfile.write(buffer, synthetic_speech(0.4)[:8000], 16000, format="WAV")
    kept = studio.send("声.wav", buffer.getvalue())
    status, _, wav = studio.form("/speak", voice="folder-0", input=kept["id"])
    assert status == 200, wav
    assert len(soundfile.read(io.BytesIO(wav))[0]) == round(8000 * 22050 / 16000)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"voice": "../Stimme ü"}, "none of this id"),
        ({"voice": "folder-1"}, "none"),
        ({"temperature": "warm"}, "from 0 to 10"),
        ({"seed": "-1"}, "from 0 to 4.29497e+09"),
        ({"input": ("ß.npy", b"no mel")}, "ß.npy"),
        ({"input": ("ß.nam", b"{}")}, "ß.nam"),
    ],
)
def test_it_says_what_cannot_be_spoken(studio, given, said):
    usual = {"voice": "folder-0", "input": ("a.npy", mel_file(0.3)[1])}
    status, _, body = studio.form("/speak", **{**usual, **given})
    assert status == 400
    assert said in json.loads(body)["error"]


@pytest.mark.slow
def test_a_release_speaks_piece_by_piece(tmp_path, model):
    """Its parts are what `synthesize` makes in one."""
    from experiments.releases.export import Export, export
    from wf_jax.export import load

    save_model(tmp_path / "model", CONFIG, split(model)[1])
    release = str(tmp_path / "release")
    export(Export(release, str(tmp_path / "model"), platforms=["cpu"]))
    vocoder = load(tmp_path / "release")
    mel, content = mel_file(3.0)
    with serving(tmp_path / "studio", voices=[tmp_path / "release"]) as client:
        status, _, wav = client.form("/speak", voice="folder-0", input=("m.npy", content))
        assert status == 200, wav
    expected = vocoder.synthesize(mel[None], jax.random.key(0))[0]
    audio = soundfile.read(io.BytesIO(wav))[0]
    np.testing.assert_allclose(audio, np.clip(expected, -1, 1), atol=2**-15 + 1e-4)
