"""Makes a pair of what a teacher plays of a DI: examined, repaired, split and normalized."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_pipeline import checks
from data_pipeline.audio_files import Audio
from data_pipeline.captures import Capture, Lesson, normalized
from data_pipeline.checks import Finding
from data_pipeline.latency import Latency
from data_pipeline.teacher_checks import DC, LATENCY, Examination, Play, examine
from wf_jax.errors import UserError


def take_lesson(
    play: Play,
    di: np.ndarray,
    sample_rate: int,
    lesson: Lesson,
    *,
    notes: Sequence[Finding] = (),
    validation_seconds: float = 9.0,
    ignore_checks: bool = False,
    receptive_field: int = 6347,
    window: int = 8192,
    batch_size: int = 16,
) -> Capture:
    """Examines a teacher, lets it play a DI, and makes the capture of both.

    Args:
        play: the teacher.
        di: float32 [T].
        sample_rate: Hz.
        lesson: its names and repairs.
        notes: findings of before, to be kept with the others.
        validation_seconds: length of the last part.
        ignore_checks: go on in spite of errors that leave something to train on.
        receptive_field: samples that the student sees.
        window: training outputs per item, in samples.
        batch_size: items per batch; the training part must hold one batch.

    Raises:
        UserError: one line for each error found.
    """
    found = examine(play, lesson.teacher, sample_rate, lesson.repairs)
    findings = [*notes, *found.findings]
    _refuse(findings, ignore_checks)
    x, y = _played(play, di, found, lesson.repairs)
    train = max(len(x) - round(validation_seconds * sample_rate), 0)
    history = receptive_field - 1
    needed = {"training": history + window * batch_size, "validation": history + window}
    findings += _check_parts(x, y, train, needed, sample_rate, lesson)
    _refuse(findings, ignore_checks)
    y_train, y_validation, gain = normalized(y[:train], y[train:])
    return Capture(
        name=lesson.name,
        sample_rate=sample_rate,
        input_train=x[:train],
        output_train=y_train,
        input_validation=x[train:],
        output_validation=y_validation,
        output_gain=gain,
        latency=Latency(len(di) - len(x), "teacher", measured=float(found.onset)),
        findings=tuple(findings),
        standard_version=None,
        validation_start_seconds=train / sample_rate,
        part_seconds=(0.0, len(di) / sample_rate),
        ignore_checks=ignore_checks,
        lesson=lesson,
    )


def _played(
    play: Play, di: np.ndarray, found: Examination, repairs: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the DI and the teacher's output, repaired: float32 [T - onset] each."""
    y = play(di)
    if DC in repairs:
        y = y - np.float32(found.offset)
    late = found.onset if LATENCY in repairs else 0
    return di[: len(di) - late], y[late:]


def _refuse(findings: Sequence[Finding], ignore_checks: bool) -> None:
    """Raises UserError for the findings that stop a capture."""
    errors = [f for f in findings if f.level == "error" and not (ignore_checks and f.ignorable)]
    if errors:
        raise UserError(*(finding.line() for finding in errors))


def _check_parts(
    x: np.ndarray,
    y: np.ndarray,
    train: int,
    needed: dict[str, int],
    sample_rate: int,
    lesson: Lesson,
) -> list[Finding]:
    """Checks that both parts are long enough, and hold sound."""
    di, played = (
        Audio(samples, sample_rate, Path(name), "", 32, True)
        for samples, name in ((x, lesson.di), (y, f"{lesson.teacher} playing {lesson.di}"))
    )
    parts = {"training": train, "validation": len(x) - train}
    findings = [checks.check_enough(di, parts, needed, 0)]
    if findings[0].level == "ok":
        for name, span in (("training", (0, train)), ("held-out", (train, len(x)))):
            findings += [checks.check_part(audio, name, span, False) for audio in (di, played)]
    return findings
