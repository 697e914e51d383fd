"""Makes and remakes releases: all checks, then what needs JAX."""

import dataclasses
from pathlib import Path

from experiments.releases.sources import check_source, find_source
from experiments.terminal.outputs import check_folder
from wf_jax.errors import UserError
from wf_jax.export.manifest import PLATFORMS, read_files, read_manifest, replaceable

USUAL = ["cpu", "cuda", "tpu"]
LONGEST = 1 << 20  # samples of a block


@dataclasses.dataclass(frozen=True)
class Export:
    """A model and the release that it becomes; see the flags of experiments.export."""

    output: str
    model: str | None = None
    platforms: list[str] = dataclasses.field(default_factory=lambda: USUAL)
    dtype: str | None = None
    blocks: list[str] = dataclasses.field(default_factory=lambda: ["64"])
    slim: float = 1.0
    name: str | None = None
    license: str = ""
    example: str | None = None
    rebuild: bool = False


def export(given: Export) -> None:
    """Makes or remakes one release; on failure the folder stays as it was.

    Raises:
        UserError: an option or a file cannot be used, or the result differs from the model.
    """
    if bool(given.model) == given.rebuild:
        raise UserError(
            f"{given.output}: name a model and the folder of its release, or add --rebuild to "
            "make the artifacts in this folder anew"
        )
    if "://" in given.output:
        raise UserError(
            f"--output={given.output}: give a local folder, and copy it there afterwards"
        )
    if given.rebuild:
        _remake(given)
    else:
        _make(given)


def _remake(given: Export) -> None:
    for name, usual in vars(Export(given.output, rebuild=True)).items():
        if getattr(given, name) != usual:
            raise UserError(f"--{name}: --rebuild makes what was asked for before; leave it out")
    output = Path(given.output)
    read_files(output, read_manifest(output))
    check_folder(output)
    from experiments.releases.writing import remake_release  # and with it JAX

    remake_release(output)


def _make(given: Export) -> None:
    _check_options(given)
    check_source(given.model, given.example)
    output = Path(given.output)
    replaceable(output)
    check_folder(output)
    from experiments.releases.writing import ReleaseOptions, make_release  # and with it JAX

    options = ReleaseOptions(
        platforms=tuple(dict.fromkeys(given.platforms)),
        dtype=given.dtype,
        blocks=tuple(sorted({int(text) for text in given.blocks})),
        size=given.slim,
        license=given.license,
    )
    make_release(find_source(given.model, given.name, given.example), options, output)


def _check_options(given: Export) -> None:
    wrong = sorted(set(given.platforms) - set(PLATFORMS))
    if wrong or not given.platforms:
        known = ", ".join(PLATFORMS)
        raise UserError(f"--platforms={','.join(wrong)}: give one or more of {known}")
    for text in given.blocks:
        if not text.isdecimal() or not 1 <= int(text) <= LONGEST:
            raise UserError(f"--blocks: {text!r} is no number of samples from 1 to {LONGEST:,}")
