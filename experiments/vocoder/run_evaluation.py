"""Evaluates the model of a run on held-out clips: a table, and a JSON file."""

from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.corpus import Corpus
from experiments.run.json_files import write_json
from experiments.run.model_folder import model_folder
from experiments.terminal.outputs import check_file
from wf_jax.bounded_files import read_json
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import check_model, load_model

if TYPE_CHECKING:
    from experiments.vocoder.evaluation import Judged
    from wf_jax.audio.mel_settings import MelSettings
    from wf_jax.flows.flow import Flow


def evaluate(workdir: str, corpus: str | None, clips: int | None, output: str | None) -> None:
    """Judges the clips of a corpus; prints the scores and writes them.

    Raises:
        UserError: the run, its model or the corpus cannot be used.
    """
    folder, path = model_folder(Path(workdir)), Path(output or Path(workdir, "evaluation.json"))
    settings = check_model(folder).mel
    opened = _open(corpus or corpus_of(Path(workdir)), settings)
    check_file(path)
    judged = _judge(load_model(folder), opened, clips)  # with JAX
    write_json(path, _contents(judged))
    print("\n".join(_lines(judged)))
    print(f"written to {path}")


def _open(folder: str | Path, settings: "MelSettings") -> Corpus:
    """Opens a corpus that has held-out clips at the model's rate."""
    corpus = Corpus.open(folder)
    if corpus.sample_rate != settings.sample_rate:
        raise UserError(
            f"{corpus.folder}: {corpus.sample_rate} Hz, but the model speaks at "
            f"{settings.sample_rate} Hz; name another --corpus"
        )
    if not corpus.select("validation"):
        raise UserError(f"{corpus.folder}: no clips are held out; name another --corpus")
    return corpus


def _judge(model: "Flow", corpus: Corpus, count: int | None) -> "list[Judged]":
    from experiments.vocoder.evaluation import judge
    from experiments.vocoder.job import held_out_clips
    from experiments.vocoder.results import SLOW_JUDGED, is_slow, some

    clips = held_out_clips(corpus, model.config.mel)[:count]
    if is_slow(model.config) and count is None:
        clips = some(clips, model.config, SLOW_JUDGED)
        print(
            f"the model makes one sample after another: judged are {SLOW_JUDGED[1]:g} seconds of "
            f"{len(clips)} clips; --clips=N takes N whole ones"
        )
    return judge(model, clips)


def corpus_of(workdir: Path) -> Path:
    """Returns the path of the corpus that the run was trained on.

    Raises:
        UserError: it names none.
    """
    path = workdir / "config.json"
    try:
        corpus = read_json(path)["data.corpus"]
    except (OSError, ValueError, KeyError, TypeError):
        corpus = None
    if not isinstance(corpus, str) or not corpus:
        raise UserError(f"{path}: does not name a corpus; add --corpus=DIR")
    return workdir / "corpus" if corpus == "demo" else Path(corpus)


def _contents(judged: "list[Judged]") -> dict:
    """Returns the content of the JSON file."""
    from experiments.vocoder.evaluation import mean_scores

    clips = {clip.name: {"seconds": clip.seconds, **clip.scores} for clip in judged}
    return {"mean": mean_scores(judged), "clips": clips}


def _lines(judged: "list[Judged]") -> list[str]:
    """Formats the same content as a table."""
    from experiments.vocoder.evaluation import SCORES, formatted, mean_scores

    rows = [(clip.name, clip.scores) for clip in judged] + [("mean", mean_scores(judged))]
    width = max(len(name) for name, _ in rows)
    lines = [" " * width + "".join(f"{name:>12}" for _, name, _ in SCORES)]
    for name, scores in rows:
        lines.append(f"{name:{width}}" + "".join(f"{text:>12}" for text in formatted(scores)))
    return lines
