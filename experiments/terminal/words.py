"""The words of `wf-jax`: which main each runs, and with which flags.

Everything about a word is here; its help, its completion and its start follow from this table and
the main's own flags.
"""

from typing import NamedTuple


class Option(NamedTuple):
    """A short way to write a flag; "DI" is typed in its place, or as --di=VALUE.

    Attributes:
        name: as it is typed, an argument's in capitals.
        flag: the main's flag that it stands for.
        meaning: in a few words.
        optional: an argument that may be left out.
    """

    name: str
    flag: str
    meaning: str
    optional: bool = False


class Word(NamedTuple):
    """A word and the main that it runs.

    Attributes:
        main: name in `experiments`.
        does: what it does, in a line.
        arguments: in the order in which they are typed.
        options: beside the main's own flags.
        usual: flags that are given where they are not typed; "{amp}" stands for the name of the
            argument AMP without folder and suffix.
        many: name of further arguments, any number of them, that the main takes as they are.
        examples: to be pasted.
    """

    main: str
    does: str
    arguments: tuple[Option, ...] = ()
    options: tuple[Option, ...] = ()
    usual: tuple[str, ...] = ()
    many: str = ""
    examples: tuple[str, ...] = ()


def _out(meaning: str, flag: str = "output") -> Option:
    return Option("OUT", flag, meaning)


_MINUTES = Option("minutes", "config.train.minutes", "how long it trains, from the first step on")
_STEPS = Option("steps", "config.train.steps", "how many steps it trains; --minutes goes first")
_SEED = Option("seed", "config.train.seed", "of the first weights and all random choices")
_CORPUS = Option("corpus", "config.data.corpus", "what `wf-jax prepare` wrote")
_NAME = Option("name", "config.metadata.name", "what players show")
_MODEL = Option("MODEL", "model", "a .nam file, or one of GuitarML or AIDA-X; or its hf://...")
_VOICE = Option("MODEL", "model", "folder of a run, a model or a release, or hf://USER/NAME")
_CONFIG = Option("CONFIG", "config", "a2_capture, waveflow:64, ..., or a file")

# By what they are for.
GROUPS: dict[str, dict[str, Word]] = {
    "Amps": {
        "capture": Word(
            "train",
            "trains a .nam model of an amp, from a DI and its recording",
            (
                Option("DI", "config.data.input", "the file that was played into the amp"),
                Option(
                    "AMP", "config.data.output", "what came out of it, or a folder of such files"
                ),
            ),
            (
                Option("out", "workdir", "folder, else runs/AMP; one that exists goes on"),
                _MINUTES,
                _STEPS,
                _NAME,
                Option("make", "config.metadata.gear_make", "who made the amp"),
                Option("tone", "config.metadata.tone_type", "clean, crunch, hi_gain, ..."),
                Option("latency", "config.data.latency", "samples AMP lags DI; else measured"),
                Option("from", "config.init_from", "a .nam file to begin with"),
                _SEED,
            ),
            ("config=a2_capture", "workdir=runs/{amp}"),
            examples=(
                "wf-jax capture di.wav amp.wav --minutes=10",
                "wf-jax capture di.wav amp.wav --minutes=10 --name=Plexi --out=runs/plexi",
                "wf-jax capture di.wav amp.wav --config.train.optimizer=adam",
            ),
        ),
        "check": Word(
            "check_capture",
            "checks recordings of an amp, and measures their latency, without training",
            (
                Option("DI", "input", "the file that was played into the amp"),
                Option("AMP", "output", "what came out of it, or a folder of such files"),
            ),
            examples=("wf-jax check di.wav amp.wav", "wf-jax check di.wav takes"),
        ),
        "convert": Word(
            "train",
            "turns any capture into A2: a model of a model, without a recording",
            (
                Option(
                    "MODEL",
                    "config.data.teacher",
                    "the old file, a folder of them, or pedal.nam,amp.nam in a row",
                ),
            ),
            (
                Option(
                    "out",
                    "workdir",
                    "folder, else runs/MODEL_a2; one that exists goes on",
                ),
                _MINUTES,
                _STEPS,
                _NAME,
                Option("di", "config.data.input", "your own playing; the built-in one if left out"),
                Option("cabinet", "config.data.cabinet", "an impulse response after MODEL"),
                Option("repair", "config.data.repair", "latency,dc: faults that are trained away"),
                _SEED,
            ),
            ("config=a2_capture", "workdir=runs/{model}_a2"),
            examples=(
                "wf-jax convert old.nam --minutes=5",
                "wf-jax convert pedal.nam,amp.nam --cabinet=ir.wav --minutes=5 --out=runs/rig",
            ),
        ),
        "render": Word(
            "render",
            "plays audio files through a model",
            (
                _MODEL,
                Option("IN", "input", "an audio file, or a folder of them"),
                _out("the WAV file to write, or the folder"),
            ),
            examples=(
                "wf-jax render amp.nam di.wav wet.wav",
                "wf-jax render amp.nam takes wet --slim=0",
            ),
        ),
        "live": Word(
            "live",
            "plays a guitar through a model, with an audio interface",
            (_MODEL._replace(optional=True),),
            examples=("wf-jax live amp.nam --block=64", "wf-jax live --devices"),
        ),
        "inspect": Word(
            "inspect",
            "says what .nam files hold and who plays them",
            many="MODEL",
            examples=("wf-jax inspect amp.nam",),
        ),
    },
    "Voices": {
        "prepare": Word(
            "prepare",
            "makes a corpus of a folder of speech, once",
            (
                Option("FOLDER", "input", "recordings: LJSpeech, or any folder of audio"),
                _out("folder of the corpus; new or empty"),
            ),
            examples=("wf-jax prepare LJSpeech-1.1 data/lj",),
        ),
        "speak": Word(
            "synthesize",
            "speaks mel spectrograms, or recordings again",
            (
                _VOICE._replace(
                    meaning=f"{_VOICE.meaning}; left out, a voice of the package", optional=True
                ),
                Option("IN", "input", "a recording, a .npy mel, or a folder of either"),
                _out("folder of the WAV files"),
            ),
            examples=("wf-jax speak runs/lj speech.wav spoken --temperature=0.6",),
        ),
        "evaluate": Word(
            "evaluate",
            "judges a voice by the clips that were held out",
            (Option("RUN", "workdir", "folder of the run"),),
            examples=("wf-jax evaluate runs/lj --clips=8",),
        ),
        "compare": Word(
            "compare",
            "trains several flows with one budget each and compares their likelihoods",
            (
                Option("CONFIG", "config", "likelihood, likelihood:paper, ..., or a file"),
                _out("folder of the comparison; continued if it exists", "workdir"),
            ),
            (
                _CORPUS,
                _MINUTES,
                _STEPS,
                Option("only", "config.only", "members to take: waveglow,..."),
            ),
            examples=("wf-jax compare likelihood runs/families --corpus=data/lj --minutes=2",),
        ),
        "import": Word(
            "convert",
            "makes a model folder of a published WaveFlow or WaveGlow checkpoint",
            (
                Option("CHECKPOINT", "input", "the file: .pt, .pdparams, .safetensors, .npz"),
                _out("folder of the model"),
            ),
            examples=("wf-jax import step.pt models/lj --source=l0sg --source_config=config.json",),
        ),
    },
    "Amps and voices": {
        "train": Word(
            "train",
            "trains what a config says",
            (_CONFIG, _out("folder of the run; continued if it exists", "workdir")),
            (_CORPUS, _MINUTES, _STEPS, _SEED),
            examples=(
                "wf-jax train waveflow:64 runs/lj --corpus=data/lj",
                "wf-jax train a2_capture:demo runs/demo",
                "wf-jax train waveflow:demo runs/voice --minutes=2",
            ),
        ),
        "options": Word(
            "options",
            "lists every option of a config: type, default, meaning",
            many="CONFIG",
            examples=("wf-jax options a2_capture",),
        ),
        "runs": Word(
            "runs",
            "compares runs: a table, and a picture of their curves",
            many="FOLDER",
            examples=("wf-jax runs runs --x=minutes",),
        ),
        "report": Word(
            "join_reports",
            "joins the reports of several runs on one page",
            options=(Option("out", "output", "the page to write"),),
            many="RUN",
            examples=("wf-jax report runs/amp runs/voice --out=report.html",),
        ),
        "export": Word(
            "export",
            "makes a release: functions that run without the model's code",
            (
                Option("MODEL", "model", "a run, a model folder, or a .nam file", optional=True),
                _out("folder of the release; one that is there is replaced"),
            ),
            examples=(
                "wf-jax export runs/lj releases/lj",
                "wf-jax export amp.nam releases/amp --blocks=64,256",
                "wf-jax export --rebuild --out=releases/lj",
            ),
        ),
        "push": Word(
            "push",
            "uploads a release to the Hugging Face hub",
            (
                Option("RELEASE", "release", "folder that `wf-jax export` wrote"),
                Option("REPOSITORY", "repository", "USER/NAME on the hub; made if it is missing"),
            ),
            examples=(
                "wf-jax push releases/lj user/lj",
                "wf-jax push releases/amp user/amp --private",
            ),
        ),
        "onnx": Word(
            "export_onnx",
            "writes a model as one ONNX file",
            (
                Option("MODEL", "model", "a run, a model folder, or a .nam file"),
                _out("the .onnx file, or a folder for it"),
            ),
            examples=("wf-jax onnx amp.nam onnx --block=64",),
        ),
    },
    "This machine": {
        "studio": Word(
            "studio",
            "opens a page to capture, play and speak with",
            examples=("wf-jax studio", "wf-jax studio --folder=studio --port=8421"),
        ),
        "benchmark": Word(
            "benchmark",
            "measures speed beside something else in the same run",
            (Option("CASE", "case", "stream, render, release, waveflow_synthesis, ..."),),
            examples=(
                "wf-jax benchmark stream --model=amp.nam",
                "wf-jax benchmark waveflow_synthesis",
            ),
        ),
        "benchmark_capture": Word(
            "benchmark_capture",
            "measures a training step beside the NAM trainer's",
            (Option("PYTHON", "trainer_python", "a Python with neural-amp-modeler"),),
            examples=("wf-jax benchmark_capture nam/bin/python",),
        ),
        "benchmark_dispatch": Word(
            "benchmark_dispatch",
            "measures what a training step costs the host",
            examples=("wf-jax benchmark_dispatch --task=a2 --task=waveflow_tiny",),
        ),
        "accelerator": Word(
            "accelerator",
            "examines a GPU or TPU in ten minutes",
            (_out("folder of the results; made if it is not there"),),
            examples=(
                "wf-jax accelerator runs/accelerator",
                "wf-jax accelerator runs/try --small",
            ),
        ),
        "completion": Word(
            "terminal.completion",
            "prints what completes these words in a shell",
            many="SHELL",
            examples=(
                'eval "$(wf-jax completion bash)"  # in ~/.bashrc',
                'eval "$(wf-jax completion zsh)"  # in ~/.zshrc, below compinit',
            ),
        ),
    },
}
WORDS = {name: word for group in GROUPS.values() for name, word in group.items()}
# The word of each main; of several the one that gives no flags by itself.
BY_MAIN = {word.main: name for name, word in WORDS.items() if not word.usual}
