"""Completion of `wf-jax` in shells."""

import os
import pty
import select
import shutil
import subprocess
import time

import pytest

from experiments.terminal.completion import bash, main, zsh
from experiments.terminal.config_names import config_names
from experiments.terminal.words import WORDS


def test_completion_offers_what_the_table_has(capsys):
    assert main(["bash"]) == 0
    assert capsys.readouterr().out == bash()
    for script in (bash(), zsh()):
        assert "--minutes=" in script
        assert all(name in script for name in (*WORDS, *config_names()))
    for wrong in ([], ["fish"], ["bash", "zsh"]):
        assert main(wrong) == 2
        assert capsys.readouterr().err == "name a shell: bash or zsh\n"


class Terminal:
    """An interactive shell in a folder that has a file and a folder."""

    def __init__(self, arguments, folder, lines):
        """Starts it and types the lines."""
        self._file, end = pty.openpty()
        environment = {**os.environ, "TERM": "dumb"}
        self._shell = subprocess.Popen(
            ["setsid", "--ctty", *arguments],
            cwd=folder,
            env=environment,
            stdin=end,
            stdout=end,
            stderr=end,
        )
        os.close(end)
        for line in lines:
            self._type(f"{line}\n")
        self.read_until("ready")

    def _type(self, text):
        os.write(self._file, text.encode())

    def read_until(self, wanted, seconds=20.0):
        """Returns what is printed up to some text, or at all."""
        said, end = "", time.monotonic() + seconds
        while wanted not in said and time.monotonic() < end:
            if select.select([self._file], [], [], 0.1)[0]:
                said += os.read(self._file, 65536).decode(errors="replace").replace("\a", "")
        return said

    def complete(self, typed, wanted):
        """Types a line and a tab, and says whether what is wanted is printed; forgets the line."""
        self._type(f"\x15{typed}\t")
        return wanted in self.read_until(wanted)

    def close(self):
        """Ends the shell."""
        self._shell.kill()
        self._shell.wait()
        os.close(self._file)


SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], []),
    "zsh": (["zsh", "-f", "-i"], ["autoload -U compinit; compinit -u -d ./.zdump"]),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete(shell, tmp_path):
    if not (shutil.which(shell) and shutil.which("setsid")):
        pytest.skip(f"{shell} or setsid is not here")
    (tmp_path / "runs").mkdir()
    (tmp_path / "di.wav").touch()
    (tmp_path / ".script").write_text({"bash": bash, "zsh": zsh}[shell]())
    arguments, lines = SHELLS[shell]
    terminal = Terminal(arguments, tmp_path, [*lines, "source ./.script; echo rea''dy"])
    try:
        assert terminal.complete("wf-jax capt", "wf-jax capture ")
        assert terminal.complete("wf-jax capture d", "di.wav")
        assert terminal.complete("wf-jax capture --minu", "--minutes=")
        assert terminal.complete("wf-jax capture --out=r", "--out=runs/")
        assert terminal.complete("wf-jax train wavef", "waveflow")
        assert terminal.complete("wf-jax export --reb", "--rebuild")
        assert terminal.complete("wf-jax completion z", "zsh")
    finally:
        terminal.close()
