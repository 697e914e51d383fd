"""Compiled programs that outlive a process."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.terminal import programs

ROOT = Path(__file__).parents[2]
# Compiles something that takes long enough to be kept, and says how often it was found.
USER = """
import sys, jax, jax.numpy as jnp
from absl import flags
from experiments.terminal.start import set_up
found = []
jax.monitoring.register_event_listener(lambda name, **_: found.append(name))
flags.FLAGS(sys.argv)
set_up()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
print(float(jax.jit(lambda x: jnp.sin(x) @ jnp.cos(x).T)(jnp.ones((8, 8))).sum()))
print(found.count("/jax/compilation_cache/cache_hits"))
"""


def use(cache: Path, *flags: str, **environment: str) -> tuple[str, int]:
    given = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "WF_JAX_"))}
    done = subprocess.run(
        [sys.executable, "-c", USER, *flags],
        cwd=ROOT,
        env={**given, "XDG_CACHE_HOME": str(cache), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    value, hits = done.stdout.split()
    return value, int(hits)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the folder of Linux")
def test_the_next_process_finds_them_and_damage_is_harmless(tmp_path):
    first = use(tmp_path)
    folder = tmp_path / "wf_jax" / "programs"
    kept = sorted(folder.glob("*-cache"))
    assert first[1] == 0
    assert kept
    assert use(tmp_path) == (first[0], len(kept))
    for path in kept:  # as a process that was killed leaves it
        path.write_bytes(path.read_bytes()[:100])
    assert use(tmp_path) == (first[0], 0)
    assert use(tmp_path) == (first[0], len(kept))  # it was written anew


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the folder of Linux")
def test_where_they_are_kept(tmp_path):
    use(tmp_path / "off", "--programs=off")
    assert not (tmp_path / "off").exists()
    use(tmp_path / "unused", f"--programs={tmp_path / 'given'}")
    assert list((tmp_path / "given").glob("*-cache"))
    use(tmp_path / "unused", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "jax"))
    assert list((tmp_path / "jax").glob("*-cache"))
    use(tmp_path / "unused", WF_JAX_PROGRAMS=str(tmp_path / "own"))
    assert list((tmp_path / "own").glob("*-cache"))
    use(tmp_path / "unused", WF_JAX_PROGRAMS="off")
    assert not (tmp_path / "unused").exists()
    (tmp_path / "file").write_text("in the way")
    use(tmp_path / "file")


def test_what_nobody_uses_is_forgotten(tmp_path):
    old, new = tmp_path / "old-cache", tmp_path / "new-cache"
    for path, age in ((old, programs.AGE + 60), (new, 60)):
        path.write_bytes(b"program")
        os.utime(path, (time.time() - age,) * 2)
    programs._forget_old(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new-cache"]
