"""Typing errors of users: one line on stderr, exit code 1, within two seconds, no files.

The seconds are the process's own, user and system. A busy machine inflates them as it inflates the
time of importing JAX alone: so they are compared with that, too.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.amps.foreign_documents import guitarml
from tests.amps.nam_examples import EXAMPLES
from tests.experiments.test_checks_first import corpus
from tests.flows.small import config, wavenet_config
from wf_jax.flows.families import new_flow
from wf_jax.flows.model_folder import save_model
from wf_jax.modules import split

ROOT = Path(__file__).parents[2]
SECONDS = 2.0
RATIO = 2.5  # to `import jax`, which takes 0.8 s where nothing else runs

CAPTURE = f"train --config={ROOT}/experiments/configs/a2_capture.py"
DEMO = f"{CAPTURE}:demo --workdir=new"
PAIR = f"{CAPTURE} --workdir=new --config.data.input=di.wav --config.data.output=di.wav"
TEACHER = f"{CAPTURE} --workdir=new --config.data.teacher="
MANY = f"{CAPTURE} --workdir=new --config.data.input=di.wav"
VOICE = f"train --config={ROOT}/experiments/configs/waveflow.py:tiny --workdir=new"
COMPARE = f"compare --config={ROOT}/experiments/configs/likelihood.py"
CONVERT = "convert --source=l0sg --output=new"
LENGTHS = "--config.data.validation_seconds"

# Typed arguments and the expected line, by command. The first of each is always run.
MISTAKES = {
    "a capture": {
        f"{PAIR} --config.data.input=none.wav": "none.wav: no such file; check the name",
        f"{CAPTURE} --workdri=new": "--workdri is no option; did you mean --workdir?",
        CAPTURE: "--workdir is missing: Folder of the run",
        f"{CAPTURE}:demo --workdir=": "--workdir= is empty; give a value",
        f"{CAPTURE}:demo --workdir=file": "file: is a file; give another folder",
        f"{CAPTURE}:demo --workdir=file/new": "is a file; give another folder",
        f"{CAPTURE}:demo --workdir=/proc/new": "/proc/new: cannot be written: No such file",
        f"{CAPTURE}:demo --workdir={'x' * 300}": "xxx: cannot be written: File name too long",
        f"{CAPTURE}:loud --workdir=new": "a2_capture:loud does not exist; use a2_capture:de",
        "train --workdir=new": "--config is missing: a2_capture, waveflow:64, ..., or",
        "train --config= --workdir=new": "--config= is empty; name a config file",
        "train --config=none.py --workdir=new": "none.py: no such config file; see experiments",
        "train --config=folder --workdir=new": "folder: a folder; name a config file",
        "train --config=broken.py --workdir=new": "broken.py: ValueError: boom; see experiments",
        "train --config=garbled.py --workdir=new": "garbled.py: SyntaxError: invalid syntax",
        "train --config=file.py --workdir=new": "file.py: it has no get_config(); see experiments",
        "train --config=number.py --workdir=new": "--config is no training's",
        f"{DEMO} --config.train.stesp=1": "--config.train.stesp: no such option; ",
        f"{DEMO} --config.trian.steps=1": "--config.trian.steps: no such option; ",
        f"{DEMO} --config.train=1": "--config.train=1: a group of options; name one of them",
        f"{DEMO} --config.train.steps=many": "--config.train.steps=many: invalid literal for int",
        f"{DEMO} --config.train.steps=": "--config.train.steps=: invalid literal for int",
        f"{DEMO} --config.train.minutes=nan": "--config.train.minutes=nan is not 0 or",
        f"{DEMO} --distributed=here": "--distributed=here is not auto, none or HOST:PORT,COUNT,IND",
        f"{DEMO} --sweep=": "--sweep= is empty; give a value, or leave it out",
        f"{DEMO} --sweep=none.py": "none.py: No such file",
        f"{DEMO} --sweep_index=-1": "--sweep_index=-1: -1 is not a non-negative integer",
        f"{DEMO} --profile_steps=9": "--profile_steps=9 is not FIRST:LAST",
        f"{DEMO} --init_from=none": "--init_from=none: no such folder",
        f"{DEMO} --debug_nans=maybe": "--debug_nans=maybe: ",
        f"{DEMO} extra": "unexpected argument 'extra'; options look like --workdir=DIR",
        f"{PAIR} --config.data.output=text.wav": "text.wav: can not be read as audio",
        f"{PAIR} --config.data.input=folder": "folder: ",
        f"{PAIR} --config.data.input=": "--config.data.input is missing; name the file",
        f"{PAIR} --config.init_from=none.nam": "none.nam: cannot be read: No such file",
        f"{PAIR} --config.model.nam=text.wav": "text.wav: not a complete JSON file",
        f"{PAIR} {LENGTHS}=-1": f"{LENGTHS}=-1.0 is not ",
    },
    "a teacher": {
        f"{TEACHER}none.nam": "none.nam: cannot be read: No such file",
        f"{TEACHER}amp.nam,none.nam": "none.nam: cannot be read: No such file",
        f"{TEACHER},": "--config.data.teacher=,: names no file; give one",
        f"{TEACHER}text.wav": "text.wav: not a complete JSON file",
        f"{TEACHER}a.json": 'a.json: the key "version" is missing; this is not a .nam model',
        f"{TEACHER}stereo.nam": "stereo.nam: in_channels 2, and only mono models can teach",
        f"{TEACHER}odd.nam": "odd.nam: metadata.gear_type 'banjo' is none of amp, pedal",
        f"{TEACHER}amp.nam --config.data.output=di.wav": "data.output=di.wav: a teacher plays the",
        f"{TEACHER}amp.nam --config.data.repair=hum": "repair=hum: hum is none of latency, dc;",
        f"{TEACHER}amp.nam --config.data.cabinet=none.wav": "none.wav: no such file; check the na",
        f"{TEACHER}amp.nam --config.data.cabinet=text.wav": "text.wav: can not be read as audio",
        f"{TEACHER}amp.nam --config.data.cabinet=long.wav": "long.wav: 6.0 s are no impulse resp",
        f"{TEACHER}amp.nam --config.data.cabinet=stereo.wav": "stereo.wav: 2 channels; export the",
        f"{TEACHER}amp.nam --config.data.input=none.wav": "none.wav: no such file; check the name",
        f"{TEACHER}amp.nam --config.data.input=folder": "folder: no audio files; name another",
        f"{TEACHER}amp.nam --config.data.input=stereo.wav": "(--config.data.input_channel=1 to 2)",
        f"{TEACHER}amp.nam --config.data.latency=9": "data.latency=9: for recordings, and a teach",
        f"{TEACHER}amp.nam --config.init_from=none.nam": "none.nam: cannot be read: No such file",
        f"{PAIR} --config.data.repair=dc": "--config.data.repair=dc: only with a teacher; name its",
        f"{PAIR} --config.data.cabinet=di.wav": "--config.data.cabinet=di.wav: only with a teacher",
    },
    "many captures": {
        f"{MANY} --config.data.output=folder": "folder: no recordings (.wav, .wave, .flac, ",
        f"{MANY} --config.data.output=takes --config.data.input=none.wav": "none.wav: no such fil",
        f"{MANY} --config.data.output=takes --config.metadata.name=A": "metadata.name=A: one nam",
        f"{MANY} --config.data.output=takes --sweep=none.py": "--sweep=none.py: tries one run wit",
        f"{MANY} --config.data.output=takes --workdir=gs://b/a": "several runs need a local fold",
        f"{MANY} --config.data.manifest=none.csv": "none.csv: cannot be read: No such file",
        f"{MANY} --config.data.manifest=a.json": "a.json: ",
        f"{TEACHER}folder": "folder: no .nam files; name the folder that holds them",
    },
    "a vocoder": {
        f"{VOICE} --config.data.corpus=none": "none: no such folder; prepare it with",
        VOICE: "--config.data.corpus is missing; make one with",
        f"{VOICE} --config.data.corpus=di.wav": "di.wav: ",
        f"{VOICE} --config.data.corpus=folder": "folder",
        f"{VOICE} --config.data.corpus=corpus --config.model.height=7": "height 7 is not an even",
        f"{VOICE.replace('tiny', '65')}": "waveflow:65 does not exist; use tiny, demo, or",
    },
    "render": {
        "render --model=none.nam --input=di.wav --output=y.wav": "none.nam: cannot be read: No su",
        "render --model=knobs.json --input=di.wav --output=y.wav": "input_size: 2, a model with k",
        "render --modle=amp.nam --input=di.wav --output=y.wav": "--modle is no option; did you me",
        "render --model=amp.nam --input=none.wav --output=y.wav": "none.wav: no such file",
        "render --model=text.wav --input=di.wav --output=y.wav": "text.wav: not a complete JSON",
        "render --model=hf://user --input=di.wav --output=y.wav": "hf://user: no address of the hu",
        "render --model=folder --input=di.wav --output=y.wav": "folder: cannot be read: it is a f",
        "render --model= --input=di.wav --output=y.wav": "--model= is empty; give a value",
        "render --model=amp.nam --input=text.wav --output=y.wav": "text.wav: can not be read as a",
        "render --model=amp.nam --input=di.wav --output=y.mp3": "y.mp3: the output is a WAV file",
        "render --model=amp.nam --input=di.wav --output=folder": "folder: the output is a folder",
        "render --model=amp.nam --input=di.wav --output=none/y.wav": "the folder none does not ex",
        "render --model=amp.nam --input=di.wav --output=/proc/y.wav": "/proc/y.wav: cannot be wri",
        "render --model=amp.nam --input=di.wav --output=di.wav": "the output is the input; name a",
        "render --model=amp.nam --input=folder --output=y": "folder: no audio files (",
        "render --model=amp.nam --input=takes --output=file": "is a file; give another folder",
        "render --model=amp.nam --input=slow.wav --output=y.wav": "but the model plays at 48000 H",
        "render --model=amp.nam --input=di.wav --output=y.wav --slim=2": "--slim=2: 2.0 is not a n",
        "render --model=amp.nam --input=di.wav --output=y.wav --slim=nan": "--slim=nan is not a nu",
        "render --model=amp.nam --input=di.wav --output=y.wav --channel=2": "channel 2 was asked f",
    },
    "inspect": {
        "inspect none.nam": "none.nam: cannot be read: No such file",
        "inspect knobs.json": "knobs.json: model_data.input_size: 2, a model with knobs; only",
        "inspect": "-m experiments.inspect amp.nam",
        "inspect folder": "folder: cannot be read: it is a folder",
        "inspect text.wav": "text.wav: not a complete JSON file",
        "inspect short.nam": "short.nam: ",
        "inspect --model=amp.nam": "--model is no option",
    },
    "synthesize": {
        "synthesize --model=none --input=di.wav --output=new": "none/config.json: No such file",
        "synthesize --model=voice --inptu=di.wav --output=new": "--inptu is no option; did you me",
        "synthesize --model=voice --input=none.npy --output=new": "none.npy: no such file; check ",
        "synthesize --model=voice --input=none.wav --output=new": "none.wav: no such file; check ",
        "synthesize --model=voice --input=di.wav --output=new": "but the model was trained at 8000",
        "synthesize --model=voice --input=mel.pt --output=new": "mel.pt: a file of PyTorch",
        "synthesize --model=voice --input=flat.npy --output=new": "flat.npy: ",
        "synthesize --model=voice --input=folder --output=new": "folder: no .",
        "synthesize --model=hf://user --input=mel.npy --output=new": "hf://user: no address of the",
        "synthesize --model=di.wav --input=mel.npy --output=new": "di.wav/config.json: Not a dire",
        "synthesize --model=run --input=mel.npy --output=new": "run: this run has no model yet",
        "synthesize --model=voice --input=mel.npy --output=file": "is a file; give another folder",
        "synthesize --model=voice --input=mel.npy --output=new --temperature=-1": "--temperature=",
        "synthesize --model=voice --input=mel.npy --output=": "--output= is empty; give a value",
    },
    "evaluate": {
        "evaluate --workdir=none": "none/config.json: No such file",
        "evaluate": "--workdir is missing: Folder of the training run",
        "evaluate --workdir=voice": "voice/config.json: does not name a corpus; add --corpus=DIR",
        "evaluate --workdir=voice --corpus=none": "none: no such folder; prepare it with",
        "evaluate --workdir=voice --corpus=corpus": "corpus: 22050 Hz, but the model speaks at 800",
        "evaluate --workdir=voice --clips=0": "--clips=0: 0 is not a positive integer",
        "evaluate --workdir=voice --corpus=slow --output=folder": "folder: is a folder; name a fil",
    },
    "export": {
        "export --model=none.nam --output=new": "none.nam: no such file or folder; name a run",
        "export --model=amp.nam --ouptut=new": "--ouptut is no option; did you mean --output?",
        "export --output=new": "new: name a model and the folder of its release",
        "export --model=text.wav --output=new": "text.wav: not a complete JSON file",
        "export --model=folder --output=new": "folder/config.json: No such file",
        "export --model=amp.nam --output=file": "file: is there and is no release; name another",
        "export --model=amp.nam --output=takes": "takes: is there and is no release; name another",
        "export --model=amp.nam --output=/proc/new": "/proc/new: cannot be written",
        "export --model=amp.nam --output=new --platforms=abacus": "--platforms=abacus: give one or",
        "export --model=amp.nam --output=new --platforms=": "--platforms= is empty; give a value",
        "export --model=amp.nam --output=new --blocks=0": "--blocks: '0' is no number of samples",
        "export --model=amp.nam --output=new --example=none.wav": "none.wav: no such file; check t",
        "export --rebuild --output=none": "none: no such folder; name one that `wf-jax export`",
        "export --rebuild --output=takes": "takes/manifest.json: missing; name a folder",
    },
    "push": {
        "push --release=none --repository=user/amp": "none: no such folder; name one that `wf-jax",
        "push --release=takes --repository=user/amp": "takes/manifest.json: missing; name a folder",
        "push --release=takes --repository=amp": "amp: no name of a repository; give USER/NAME",
        "push --release=takes": "--repository is missing: USER/NAME on the hub",
        "push --release=takes --repository=user/amp --privat": "--privat is no option; did you mea",
    },
    "export_onnx": {
        "export_onnx --model=none.nam --output=new": "none.nam: cannot be read: No such file",
        "export_onnx --model=voice --frame=8 --output=new": "--frame is no option; did you mean",
        "export_onnx --model=none --output=new": "none/config.json: No such file",
        "export_onnx --model=wavenet --output=new": "wavenet: a WaveNet computes one sample after",
        "export_onnx --model=amp.nam --output=file": "file: is a file; give a folder for ",
        "export_onnx --model=amp.nam --output=new --block=0": "--block=0: 0 is not a positive int",
    },
    "convert": {
        f"{CONVERT} --input=none.pt --source_config=none.json": "none.json: cannot be read: No su",
        f"{CONVERT} --input=none.pt --source_confg=a.json": "--source_confg is no option; did you",
        f"{CONVERT} --input=none.pt --source_config=a.json": "none.pt: cannot be read: No such fil",
        f"{CONVERT} --input=folder --source_config=a.json": "folder: ",
        f"{CONVERT} --input=di.wav --source_config=a.json": "di.wav: ",
        f"{CONVERT} --input=mel.pt --source_config=a.json": "mel.pt: ",
        f"{CONVERT} --input=mel.pt --source_config=text.wav": "text.wav: ",
        "convert --input=a.pt --source=tf --source_config=a.json --output=new": "--source=tf: va",
        "convert --input=w.npz --source=l0sg --source_config=a.json --output=file": "is a file; g",
    },
    "prepare": {
        "prepare --input=none --output=new": "none: no such folder; name the folder of the record",
        "prepare --input=takes --outptu=new": "--outptu is no option; did you mean --output?",
        "prepare --input=takes": "--output is missing: Folder to write the corpus to",
        "prepare --input=di.wav --output=new": "di.wav: ",
        "prepare --input=folder --output=new": "folder: ",
        "prepare --input=takes --output=file": "is a file; give another folder",
        "prepare --input=takes --output=takes --validation=1": "takes: ",
        "prepare --input=takes --output=new --sample_rate=5": "sample_rate 5 Hz is out of range",
        "prepare --input=takes --output=new --validation=9": "",
        "prepare --input= --output=new": "--input= is empty; give a value",
        "prepare --input=takes --output=new more": "unexpected argument 'more'; options look like",
        "prepare --input=takes --output=new --validation=some": "--validation=some: invalid liter",
    },
    "check_capture": {
        "check_capture --input=none.wav --output=di.wav": "none.wav: no such file; check the name",
        "check_capture --input=di.wav --otput=di.wav": "--otput is no option; did you mean --",
        "check_capture --input=di.wav": "--output is missing: What came back",
        "check_capture --input=di.wav --output=text.wav": "text.wav: can not be read as audio",
        "check_capture --input=folder --output=di.wav": "folder: ",
        "check_capture --input=di.wav --output=di.wav --latency=soon": "--latency=soon: invalid li",
        "check_capture --input=di.wav --output=di.wav --plot=none/a.png": "the folder none does no",
        "check_capture --input=di.wav --output=di.wav --plot=a.doc": "--plot=a.doc: end its name w",
        "check_capture --input=di.wav --output=takes --plot=a.png": "--output is a folder; name a ",
        "check_capture --input=di.wav --output=di.wav --output_channel=0": "--output_channel=0: 0 ",
        "check_capture --input=di.wav --output=di.wav c.wav": "unexpected argument 'c.wav'",
        "check_capture --output=di.wav": "--input is missing: The DI that was played",
        "check_capture --input=di.wav --output=di.wav --start_seconds=-1": "--start_seconds=-1: -",
        "check_capture --input=di.wav --output=di.wav --stop_seconds=nan": "--stop_seconds=nan is",
    },
    "runs": {
        "runs none": "none: no such folder; name the --workdir of a training, or one above it",
        "runs": "nothing to compare: name the folders of runs",
        "runs di.wav": "di.wav: ",
        "runs folder": "folder: ",
        "runs folder --outptu=a.png": "--outptu is no option; did you mean --output?",
        "runs folder --output=a.doc": "--output=a.doc: not a .png or .svg; end its name with one",
        "runs folder --x=days": "--x=days: value should be one of <step|minutes>",
    },
    "compare": {
        "compare --config=none.py --workdir=new": "none.py: no such config file; see experiments",
        f"{COMPARE} --workdri=new": "--workdri is no option; did you mean --workdir?",
        f"{COMPARE} --workdir=new": "--config.data.corpus is missing",
        f"{COMPARE}:demo --workdir=file": "is a file; give another folder",
        f"{COMPARE}:demo --workdir=new --config.train.step=1": "--config.train.step: no such opti",
        f"{COMPARE}:big --workdir=new": "likelihood:big does not exist; use tiny, demo or paper",
        f"compare --config={ROOT}/experiments/configs/waveflow.py:demo --workdir=new": (
            "--config has no members to compare; use"
        ),
    },
    "benchmark": {
        "benchmark --case=stream --model=none.nam": "none.nam: cannot be read: No such file",
        "benchmark": "--case is missing: <stream|",
        "benchmark --case=a3": "--case=a3: value should be one of <stream|",
        "benchmark --case=render": "--case=render plays a model; name its file",
        "benchmark --case=release --model=folder": "folder/manifest.json: missing",
        "benchmark --case=stream --model=amp.nam --block=0": "--block=0: 0 is not a positive i",
        "benchmark --case=stream --model=amp.nam --output=a.png": "let the name end in .json",
        "benchmark --case=stream --model=amp.nam --seconds=inf": "--seconds=inf is not a number",
    },
    "benchmark_capture": {
        "benchmark_capture --trainer_python=none": "--trainer_python=none: no such program; name",
        "benchmark_capture": "--trainer_python is missing: A Python with neural-amp-modeler",
        "benchmark_capture --trainer_python=none --round=1": "--round is no option; did you mean",
    },
    "benchmark_dispatch": {
        "benchmark_dispatch --task=a3": "--task=a3: value should be one of <a2|",
        "benchmark_dispatch --taks=a2": "--taks is no option; did you mean --task",
        "benchmark_dispatch a2": "unexpected argument 'a2'; options look like --task=a2",
    },
    "accelerator": {
        "accelerator --output=new --corpus=none": "none: no such folder; prepare it with",
        "accelerator --outptu=new": "--outptu is no option; did you mean --output?",
        "accelerator --output=file": "is a file; give another folder",
        "accelerator --output=new --parts=speed": "--parts=speed: no such part; choose of device",
        "accelerator --output=new --parts=": "--parts= is empty; give a value, or leave it out",
        "accelerator --output=new --minutes=0": "--minutes=0: 0.0 is not number >= 0.1",
    },
    "join_reports": {
        "join_reports --output=a.html none": "none/report.html: No such file or directory; name",
        "join_reports --outptu=a.html none": "--outptu is no option; did you mean --output?",
        "join_reports --output=a.html": "name the folders of one or more runs after the options",
        "join_reports --output=folder none": "folder: is a folder; name a file in it",
        "join_reports --output=none/a.html none": "the folder none does not exist; make it first",
        "join_reports --output=a.html pages": "pages/report.html: not a report that a training wr",
    },
    "examples": {
        "examples.amp_service": "usage: python -m experiments.examples.amp_service RELEASE",
        "examples.amp_service none di.npy wet.npy": "none: no such folder; name one that",
        "examples.speech_service": "usage: python -m experiments.examples.speech_service",
        "examples.speech_service none mel.npy y.wav": "none: no such folder; name one that",
        "examples.tpu_batch": "usage: python -m experiments.examples.tpu_batch",
        "examples.tpu_batch none mels wavs": "none: no such folder; name one that",
        "examples.stablehlo_module none step_64 new cpu": "none: no such folder; name one that",
        "examples.stablehlo_module none": "usage: python -m experiments.examples.stablehlo_module",
    },
}
CASES = [
    pytest.param(line, says, id=line.replace(f"{ROOT}/", "")[:90], marks=marks)
    for lines in MISTAKES.values()
    for (line, says), marks in zip(
        lines.items(), [(), *[pytest.mark.exhaustive] * (len(lines) - 1)], strict=True
    )
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes the current folder of a user."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("folder", "takes", "run", "pages"):
        (folder / name).mkdir()
    for name in ("di.wav", "takes/a.wav", "takes/b.wav"):
        soundfile.write(folder / name, np.zeros(4800), 48000)
    soundfile.write(folder / "slow.wav", np.zeros(4800), 44100)
    soundfile.write(folder / "long.wav", np.zeros(48000), 8000)
    soundfile.write(folder / "stereo.wav", np.zeros((4800, 2)), 48000)
    for name in ("text.wav", "mel.pt", "file", "pages/report.html"):
        (folder / name).write_text("neither audio nor a model")
    (folder / "file.py").write_text("")
    (folder / "broken.py").write_text("raise ValueError('boom')\n")
    (folder / "garbled.py").write_text("def get_config(: pass\n")
    (folder / "number.py").write_text("def get_config(): return 5\n")
    (folder / "a.json").write_text("{}")
    (folder / "run" / "config.json").write_text(json.dumps({"task": "vocoder"}))
    model = EXAMPLES["lstm"]()
    (folder / "amp.nam").write_text(json.dumps(model | {"sample_rate": 48000}))
    (folder / "short.nam").write_text(json.dumps(model | {"weights": [0.0]}))
    (folder / "knobs.json").write_text(json.dumps(guitarml(input_size=2)))
    for name, change in (
        ("stereo", {"config": model["config"] | {"in_channels": 2}}),
        ("odd", {"metadata": {"gear_type": "banjo"}}),
    ):
        (folder / f"{name}.nam").write_text(json.dumps(model | change))
    np.save(folder / "flat.npy", np.zeros(9, np.float32))
    np.save(folder / "mel.npy", np.random.default_rng(0).normal(-5, 2, (4, 30)).astype("f4"))
    np.savez(folder / "w.npz", w=np.zeros(3, np.float32))
    corpus(folder / "corpus", 22050)
    corpus(folder / "slow", 8000)
    index = (folder / "slow" / "index.json").read_text()
    (folder / "slow" / "index.json").write_text(index.replace('"train"', '"validation"'))
    for name, settings in (("voice", config()), ("wavenet", wavenet_config())):
        flow = new_flow(settings, np.random.default_rng(0))
        save_model(folder / name, settings, split(flow)[1])
    return folder


def run(folder, *arguments):
    """Returns exit code, stdout, stderr, and the process's own seconds."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    out, error = process.stdout.read(), process.stderr.read()  # a few lines, no more
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    for pipe in (process.stdout, process.stderr):
        pipe.close()
    return process.returncode, out, error, used.ru_utime + used.ru_stime


def contents(folder):
    return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system counts no seconds of a process")
@pytest.mark.parametrize(("line", "says"), CASES)
def test_a_mistake_is_one_line_at_once(place, line, says):
    before = contents(place), sorted(place.iterdir())
    code, out, error, seconds = run(place, "-m", *f"experiments.{line}".split(" "))
    assert code == 1, (out, error)
    assert out == ""
    assert len(error.strip().splitlines()) == 1, error
    assert says in error
    assert (contents(place), sorted(place.iterdir())) == before
    print(f"{seconds:.2f} s  {line}: {error.strip()}")
    if seconds > SECONDS:
        assert seconds < RATIO * run(place, "-c", "import jax")[3]
