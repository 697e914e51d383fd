"""Loads a recorded pair for capture training: checks, aligns, splits and normalizes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.checks import Finding
from data_pipeline.latency import MAX_DISAGREEMENT, SAFETY_FACTOR, Latency
from data_pipeline.pair_report import ALL, BATCH_SIZE, Used, check_capture
from data_pipeline.standard_files import STANDARD_FILES, StandardFile
from wf_jax.errors import UserError

LEVEL_DBFS = -18.0  # RMS of the training output after normalization


@dataclass(frozen=True)
class Lesson:
    """The origin of a pair that a teacher played.

    Attributes:
        name: of the capture.
        files: name and SHA-256 of every model, in the order in which the audio passes them; then
            of the cabinet's impulse response, where there is one.
        di: the DI in words.
        repairs: which of teacher_checks.REPAIRS were made.
    """

    name: str
    files: tuple[tuple[str, str], ...]
    di: str
    repairs: tuple[str, ...] = ()

    @property
    def teacher(self) -> str:
        """The files in one line."""
        return " > ".join(name for name, _ in self.files)

    def metadata(self, esr: float | None) -> dict[str, Any]:
        """Returns the entry of a .nam file that says what it was made from.

        Args:
            esr: of the new model against the teacher, on held-out audio.
        """
        files = [{"file": name, "sha256": digest} for name, digest in self.files]
        return {"files": files, "esr": esr, "repaired": list(self.repairs)}


@dataclass(frozen=True)
class Capture:
    """Aligned training and validation audio of one amp; both outputs are already times output_gain.

    Attributes:
        name: the output file's name without its suffix.
        sample_rate: Hz.
        input_train: float32 [T].
        output_train: float32 [T], RMS level_dbfs.
        input_validation: float32 [V].
        output_validation: float32 [V].
        output_gain: g = 10^(level_dbfs/20) / rms(recorded training output).
        latency: the latency in use; samples > 0 were cut from the output's start.
        findings: results of all checks, ignored errors included.
        standard_version: "3.0.0" and so on; None for a user's own DI.
        validation_start_seconds: start of the validation part in the input file.
        part_seconds: (start, stop) of the part of the input file that is used.
        ignore_checks: the user's option.
        lesson: the teacher that played the output; None for a recording.
    """

    name: str
    sample_rate: int
    input_train: np.ndarray
    output_train: np.ndarray
    input_validation: np.ndarray
    output_validation: np.ndarray
    output_gain: float
    latency: Latency
    findings: tuple[Finding, ...]
    standard_version: str | None
    validation_start_seconds: float
    part_seconds: tuple[float, float] = (0.0, 0.0)
    ignore_checks: bool = False
    lesson: Lesson | None = None

    @property
    def examined(self) -> str:
        """The origin of the output in a word: "recording" or "teacher"."""
        return "teacher" if self.lesson else "recording"


def load_capture(
    input_path: str | Path,
    output_path: str | Path,
    *,
    input_channel: int | None = None,
    output_channel: int | None = None,
    latency: int | None = None,
    used: Used = ALL,
    validation_seconds: float = 9.0,
    ignore_checks: bool = False,
    receptive_field: int = 6347,
    window: int = 8192,
    batch_size: int = BATCH_SIZE,
    level_dbfs: float = LEVEL_DBFS,
    standard_files: tuple[StandardFile, ...] = STANDARD_FILES,
) -> Capture:
    """Reads, checks, splits, aligns and normalizes a pair, in this order.

    Args:
        input_path: the DI that was played.
        output_path: the recording of the amp.
        input_channel: counted from 1; needed when the input file has several.
        output_channel: the same for the output file.
        latency: samples by which the output lags; None measures it.
        used: the part of both files to use, and drift correction.
        validation_seconds: length of the last part, over a user's own DI.
        ignore_checks: go on in spite of errors that leave something to train on.
        receptive_field: samples that the model sees.
        window: training outputs per item, in samples.
        batch_size: items per batch; the training part must hold one batch.
        level_dbfs: RMS level of the training output after normalization.
        standard_files: the known standard files.

    Returns:
        The capture, float32.

    Raises:
        UserError: one line for each error found.
    """
    report = check_capture(
        input_path,
        output_path,
        input_channel=input_channel,
        output_channel=output_channel,
        latency=latency,
        used=used,
        validation_seconds=validation_seconds,
        receptive_field=receptive_field,
        window=window,
        batch_size=batch_size,
        standard_files=standard_files,
    )
    errors = report.errors(ignore_checks)
    if errors:
        raise UserError(*(finding.line() for finding in errors))
    x, y, delay = report.input, report.output, report.latency.samples
    x_train, y_train = _aligned(x.samples, y.samples, report.train, delay)
    x_validation, y_validation = _aligned(x.samples, y.samples, report.validation, delay)
    y_train, y_validation, gain = normalized(y_train, y_validation, level_dbfs)
    return Capture(
        name=y.path.stem,
        sample_rate=x.sample_rate,
        input_train=x_train.astype(np.float32),
        output_train=y_train,
        input_validation=x_validation.astype(np.float32),
        output_validation=y_validation,
        output_gain=gain,
        latency=report.latency,
        findings=report.findings,
        standard_version=report.standard.version if report.standard else None,
        validation_start_seconds=x.time_of(report.validation[0]),
        part_seconds=(x.time_of(0), x.time_of(len(x.samples))),
        ignore_checks=ignore_checks,
    )


def normalized(
    train: np.ndarray, validation: np.ndarray, level_dbfs: float = LEVEL_DBFS
) -> tuple[np.ndarray, np.ndarray, float]:
    """Brings the training output to an RMS level, and the held-out output by the same gain.

    Returns:
        Both outputs, float32, and the gain.
    """
    gain = 10.0 ** (level_dbfs / 20.0) / float(np.sqrt(np.mean(np.square(train, dtype=np.float64))))
    return (gain * train).astype(np.float32), (gain * validation).astype(np.float32), gain


def metadata(capture: Capture) -> dict[str, Any]:
    """Returns the `training.data` entry of a .nam file: latency method and checks.

    `algorithm_version` 1 is the calibration by blips; the cross-correlation is 0, this project's
    own. A user's own DI has version 0 of the checks.
    """
    latency = capture.latency
    measured = latency.measured is not None
    by_blips = latency.confidence is None
    return {
        "latency": {
            "manual": latency.samples if latency.method == "manual" else None,
            "calibration": {
                "algorithm_version": 1 if by_blips else 0,
                "delays": [int(latency.measured)] if measured else [],
                "safety_factor": SAFETY_FACTOR,
                "recommended": latency.recommended,
                "warnings": {
                    "matches_lookahead": latency.matches_lookahead,
                    "disagreement_too_high": latency.disagreement >= MAX_DISAGREEMENT,
                    "not_detected": not measured,
                },
            },
        },
        "checks": {
            "version": int((capture.standard_version or "0").split(".")[0]),
            "passed": not any(finding.level == "error" for finding in capture.findings),
        },
    }


def _aligned(
    x: np.ndarray, y: np.ndarray, span: tuple[int, int], delay: int
) -> tuple[np.ndarray, np.ndarray]:
    """Slices first, then drops |delay| samples: the end of x and the start of y, or the reverse."""
    x, y = x[slice(*span)], y[slice(*span)]
    if delay >= 0:
        return x[: len(x) - delay], y[delay:]
    return x[-delay:], y[:delay]
