"""Damages copies of folders; each must load, or be refused in one line that names a file."""

import random
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.folder_damages import damage_folder
from tests.hostile_files import within_limits
from wf_jax.errors import UserError

LARGEST = 1 << 24  # bytes of a file that is looked into here
Use = Callable[[Path], object]


def read(path: Path) -> bytes:
    """Reads a file of finite length.

    Raises:
        OSError: the file is endless, or no regular file.
    """
    if not path.is_file() or path.stat().st_size > LARGEST:
        raise OSError
    return path.read_bytes()


def outcome(folder: Path, use: Use) -> str:
    """Returns "loaded", or "refused" after one line that names a file of the folder.

    Raises:
        AssertionError: it took too much time or memory, or the message is not one line.
    """
    try:
        with within_limits(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            use(folder)
    except UserError as error:
        line = str(error)
        assert str(folder) in line
        assert "\n" not in line
        assert line.isprintable()
        assert len(line.replace(str(folder), "")) < 1000, line
        return "refused"
    return "loaded"


def battery(
    originals: Sequence[Path],
    place: Path,
    number: int,
    seed: int,
    uses: Sequence[Use],
    sign: Use | None = None,
    held: Callable[[str], bool] = lambda name: False,
) -> Counter:
    """Damages `number` folders; returns how many are loaded and how many are refused.

    Args:
        originals: folders to copy and damage, in turn.
        place: an empty folder.
        number: number of folders.
        seed: seed of the damages.
        uses: functions that load a folder, in turn.
        sign: updates the digests to those of the damaged files; used on most folders.
        held: whether another file holds a file's digest: a changed one is then not loaded.

    Raises:
        AssertionError: one line for each folder that failed.
    """
    counts, faults, folder = Counter(), [], place / "folder"
    for i in range(number):
        draw, original = random.Random(f"{seed} {i}"), originals[i % len(originals)]
        shutil.copytree(original, folder)
        damaged = damage_folder(folder, draw)
        signed = sign is not None and draw.random() < 0.6
        if signed:
            sign(folder)
        what = f"folder {i} of seed {seed}: {original.name} {damaged} {signed=}"
        try:
            found = outcome(folder, uses[i // len(originals) % len(uses)])
        except Exception as error:
            faults.append(f"{what}: {error!r:.1000}")
            print(faults[-1], flush=True)
            found = "fault"
        if found == "loaded" and not signed:
            missed = [n for n in damaged if held(n) and read(folder / n) != read(original / n)]
            faults += [f"{what}: {name} is not missed" for name in missed]
        counts[found] += 1
        shutil.rmtree(folder)
    print(dict(counts))
    assert not faults, "\n".join(faults)
    return counts
