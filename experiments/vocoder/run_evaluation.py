"""Evaluates the model of a run on held-out clips: a table, a JSON file, and a page to listen."""

from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.corpus import Corpus
from experiments.run.json_files import write_json
from experiments.run.vocoder_folder import model_folder
from experiments.terminal.outputs import check_file
from experiments.vocoder.judged import contents, lines
from wf_jax.audio.judge_packages import absent
from wf_jax.bounded_files import read_json
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import check_model, load_model

if TYPE_CHECKING:
    from wf_jax.audio.mel_settings import MelSettings
    from wf_jax.flows.flow import Flow
    from wf_jax.flows.vocoder_task import HeldOut


def evaluate(workdir: str, corpus: str | None, clips: int | None, output: str | None) -> None:
    """Judges the clips of a corpus; prints the scores, writes them, and a page beside them.

    Raises:
        UserError: the run, its model or the corpus cannot be used.
    """
    folder, path = model_folder(Path(workdir)), Path(output or Path(workdir, "evaluation.json"))
    settings = check_model(folder).mel
    opened = _open(corpus or corpus_of(Path(workdir)), settings)
    page = path.with_suffix(".html")
    if page == path:
        raise UserError(f"--output={path}: the page to listen has that name; name a .json file")
    for file in (path, page):
        check_file(file)
    from experiments.vocoder.evaluation import judge  # and with it JAX
    from experiments.vocoder.page import write_evaluation_page

    model = load_model(folder)
    judged = judge(model, _held_out(model, opened, clips))
    write_json(path, contents(judged))
    title = f"{model.config.family} voice: {opened.folder.resolve().name}"
    write_evaluation_page(page, title, judged, opened.sample_rate)
    print("\n".join(filter(None, [*lines(judged), absent()])))
    print(f"written to {path}; to listen: {page}")


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


def _held_out(model: "Flow", corpus: Corpus, count: int | None) -> "list[HeldOut]":
    """Returns the clips to judge; parts of few where a model is slow."""
    from experiments.vocoder.job import held_out_clips
    from experiments.vocoder.samples import SLOW_JUDGED, some

    clips = held_out_clips(corpus, model.config.mel)[:count]
    if model.config.is_slow and count is None:
        clips = some(clips, model.config, SLOW_JUDGED)
        print(
            f"the model makes one sample after another: judged are {SLOW_JUDGED[1]:g} seconds of "
            f"{len(clips)} clips; --clips=N takes N whole ones"
        )
    return clips


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
