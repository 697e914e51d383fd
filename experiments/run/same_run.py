"""Checks that a start goes on with the run in a folder: with its options, on its inputs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.run.config import flat_config
from experiments.run.json_files import read_table
from wf_jax.bounded_files import LARGEST_RECORDS, read_json
from wf_jax.errors import UserError, short, why
from wf_jax.folders import naming, read_text
from wf_jax.old_names import current_names

# Options that may change between two sessions of one run.
CHANGEABLE = (
    "train.epochs",
    "train.steps",
    "train.minutes",
    "train.samples_every",
    "train.substeps",
    "train.shards",
    "train.captures_at_once",
    "train.engine",
    "checkpoints.",
    # A run that diverged goes on from its last good checkpoint.
    "train.learning_rate",
    "train.warmup",
    "train.hold",
    "train.end",
    "train.fade",
    "train.clip_norm",
    "metadata.",
    "source",
    "data.loudness_probe",
)


def check_same_run(workdir: Path, config: Any) -> None:
    """Compares a config with that of the run in a folder, if one has begun there.

    Raises:
        UserError: an option that may not change has.
    """
    _compare(workdir, _read_object(workdir / "config.json") or {}, flat_config(config))


def compare_config(workdir: Path, config: dict[str, Any]) -> None:
    """Compares a flat config with that of the run in a folder, or in its newest checkpoint.

    Says where rates will be others than those that the run began with.

    Raises:
        UserError: an option that may not change has.
    """
    from wf_jax.training.distributed import say

    old = _read_config(workdir / "config.json")
    _compare(workdir, old, config)
    fades = config.get("train.fade") and config.get("train.optimizer") == "soap"
    if fades and old and "train.fade" not in old and has_begun(workdir):
        say(
            f"{workdir}: begun by a version whose rates did not fade with the steps; from here on "
            "they do. --config.train.fade=0 goes on as before"
        )


def _compare(workdir: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    old = current_names(old)
    if "train.decay" in old:  # of before there was a choice
        old.setdefault("train.optimizer", "adam")
        del old["train.decay"]
    if old and has_begun(workdir):
        for name in _different(old, new):
            if name not in new:
                raise UserError(
                    f"{workdir}: another version of wf_jax began this run, with --config."
                    f"{short(name)}={short(old[name])}, which there is no more; give another "
                    "--workdir, or go on with that version"
                )
            option, before = short(name), short(old.get(name))
            raise UserError(
                f"{workdir}: this run was started with --config.{option}={before}, "
                f"not {new.get(name)}; give another --workdir, or the old value to continue"
            )


def was_opened(workdir: Path, config: Any, inputs: Mapping[str, str]) -> bool:
    """Returns whether a folder was opened for such a run, of the same inputs, begun or not."""
    old, known = read_table(workdir / "config.json"), read_table(workdir / "inputs.json")
    same = all(known.get(name) == digest for name, digest in inputs.items())
    return same and bool(old) and not any(_different(current_names(old), flat_config(config)))


def _different(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yields the options that differ and may not change between two sessions of a run."""
    for name in sorted(old.keys() | new.keys()):
        changed = name not in new or old.get(name, new[name]) != new[name]
        if changed and not name.startswith(CHANGEABLE):
            yield name


def known_inputs(workdir: Path, inputs: Mapping[str, str]) -> dict[str, str]:
    """Reads the digests in inputs.json, and compares those of the inputs of today.

    Raises:
        UserError: the run has begun on another recording or corpus of the same name.
    """
    from wf_jax.training.distributed import say

    path = workdir / "inputs.json"
    old = _read_object(path)
    if old is None or not all(isinstance(digest, str) for digest in old.values()):
        say(f"{path}: damaged; whether the files are those of before cannot be told")
        old = {}
    if has_begun(workdir):
        for name in sorted(old.keys() & inputs.keys()):
            if old[name] != inputs[name]:
                raise UserError(
                    f"{workdir}: {name} is another one than this run was trained on (digest "
                    f"{inputs[name]:.12}, not {old[name]:.12}); give another --workdir, or bring "
                    "the old one back"
                )
    return old


def _read_config(path: Path) -> dict[str, Any]:
    """Reads the config of the run; if its file is damaged, the one in its newest checkpoint."""
    config = _read_object(path)
    if config is None:
        from wf_jax.training.saved_checkpoints import saved_config

        config = saved_config(path.parent / "checkpoints")
    return config


def _read_object(path: Path) -> dict[str, Any] | None:
    """Reads a JSON object; {} where there is no file, None where it is damaged."""
    try:
        with naming(path):
            content = read_json(path) if path.exists() else {}
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {why(error)}") from None
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def has_begun(workdir: Path) -> bool:
    """Returns whether the run has computed anything; a failed start does not count."""
    saved = workdir / "checkpoints"
    if saved.is_dir() and any(path.name.isdigit() for path in saved.iterdir()):
        return True
    return bool(read_text(workdir / "metrics.jsonl", LARGEST_RECORDS))
