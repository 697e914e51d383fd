"""Evaluates a trained vocoder on the held-out clips of its corpus.

    python -m experiments.evaluate --workdir=RUN

Likelihood of every clip, and how far its resynthesis is from the original: see
wf_jax.audio.quality for the measures. The numbers go to RUN/evaluation.json too.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from absl import app, flags

from data_pipeline.corpus import Corpus
from experiments.run.json_files import write_json
from experiments.run.model_folder import model_folder
from experiments.terminal.outputs import check_file
from experiments.terminal.start import no_arguments, parse_flags, set_up
from wf_jax.bounded_files import read_json
from wf_jax.errors import UserError
from wf_jax.flows.model_folder import check_model, load_model

if TYPE_CHECKING:
    from experiments.vocoder.evaluation import Judged

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the training run")
_CORPUS = flags.DEFINE_string("corpus", None, "Another prepared corpus than the run's own")
_CLIPS = flags.DEFINE_integer("clips", None, "How many held-out clips; all if left out", 1)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file; RUN/evaluation.json if left out")


def main(argv: list[str]) -> None:
    """Evaluates one run."""
    set_up()
    no_arguments(argv, "--workdir=RUN")
    workdir = Path(_WORKDIR.value)
    output = Path(_OUTPUT.value or workdir / "evaluation.json")
    try:
        judged = _evaluate(workdir, output)
        write_json(output, _contents(judged))
    except UserError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\nstopped; nothing was written")
    except OSError as error:
        sys.exit(f"{output}: cannot be written: {error.strerror or error}")
    print("\n".join(_lines(judged)))
    print(f"written to {output}")


def _evaluate(workdir: Path, output: Path) -> "list[Judged]":
    folder = model_folder(workdir)
    settings = check_model(folder).mel
    corpus = Corpus.open(_CORPUS.value or _corpus_of(workdir))
    if corpus.sample_rate != settings.sample_rate:
        raise UserError(
            f"{corpus.folder}: {corpus.sample_rate} Hz, but the model speaks at "
            f"{settings.sample_rate} Hz; name another --corpus"
        )
    if not corpus.select("validation"):
        raise UserError(f"{corpus.folder}: no clips are held out; name another --corpus")
    check_file(output)
    from experiments.vocoder.evaluation import judge
    from experiments.vocoder.job import held_out_clips  # and with it JAX
    from experiments.vocoder.results import SLOW_JUDGED, is_slow, some

    model = load_model(folder)
    clips = held_out_clips(corpus, settings)[: _CLIPS.value]
    if is_slow(model.config) and _CLIPS.value is None:
        clips = some(clips, model.config, SLOW_JUDGED)
        print(
            f"the model makes one sample after another: judged are {SLOW_JUDGED[1]:g} seconds of "
            f"{len(clips)} clips; --clips=N takes N whole ones"
        )
    return judge(model, clips)


def _corpus_of(workdir: Path) -> Path:
    """Returns the path of the corpus that the run was trained on."""
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


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir"])
    app.run(main, flags_parser=parse_flags)
