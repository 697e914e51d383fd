"""The line that is said of any error."""

import errno
import os

import pytest

from wf_jax.errors import UserError, in_one_line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("a.wav: is silent; record it again"), "a.wav: is silent; record it again"),
        (OSError(errno.EIO, "Input/output error", "a.wav"), "a.wav: Input/output error"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error"),
        (OSError("no more"), "no more"),
        (OSError(), "OSError"),
        (
            PermissionError(errno.EACCES, "Permission denied", "a"),
            "a: Permission denied; change its",
        ),
        (MemoryError(), "not enough memory; "),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (KeyError("gain"), "KeyError: 'gain'"),
        (RuntimeError("first\nsecond"), "RuntimeError: first"),
    ],
)
def test_every_error_is_one_line_with_words(error, said):
    line = in_one_line(error)
    assert line.startswith(said)
    assert "None" not in line
    assert "\n" not in line
