"""Makes and remakes releases: what experiments.export does behind its flags."""

from collections.abc import Sequence
from pathlib import Path

from experiments.releases.options import ReleaseOptions
from experiments.releases.sources import check_source, find_source
from experiments.terminal.outputs import check_folder
from wf_jax.errors import UserError
from wf_jax.export.manifest import read_files, read_manifest, replaceable

_ONE = "give --model=..., or --rebuild to make the artifacts of --output anew"


def export(
    model: str | None, output: str, options: ReleaseOptions, name: str | None, example: str | None
) -> None:
    """Makes a release; on failure `output` stays as it was.

    Args:
        model: a training run, a model folder, or a .nam file.
        output: the folder; a release that is there is replaced.
        options: of the release.
        name: of the model; None for the folder's or the file's.
        example: a recording to make an example of; None for a held-out or a built-in one.

    Raises:
        UserError: a file cannot be used, or the result differs from the model.
        OSError: a file cannot be written.
    """
    if not model:
        raise UserError(_ONE)
    folder = _local(output)
    check_source(model, example)
    replaceable(folder)
    check_folder(folder)
    from experiments.releases.writing import make_release  # and with it JAX

    make_release(find_source(model, name, example), options, folder)


def rebuild(output: str, others: Sequence[str]) -> None:
    """Makes the artifacts of a release anew; on failure it stays as it was.

    Args:
        output: its folder.
        others: the names of other flags that were given, which it does not take.

    Raises:
        UserError: there is no such release, it is damaged, or a flag is too much.
        OSError: a file cannot be written.
    """
    if "model" in others:
        raise UserError(_ONE)
    if others:
        raise UserError(f"--{others[0]}: --rebuild makes what was asked for before; leave it out")
    folder = _local(output)
    read_files(folder, read_manifest(folder))
    check_folder(folder)
    from experiments.releases.writing import remake_release  # and with it JAX

    remake_release(folder)


def _local(output: str) -> Path:
    if "://" in output:
        raise UserError(f"--output={output}: give a local folder, and copy it there afterwards")
    return Path(output)
