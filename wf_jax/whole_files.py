"""Local files and folders that appear complete or not at all, and outlast a loss of power.

They are written under a temporary name beside their own, flushed to the disk, and renamed. A
process locks its temporary files; an unlocked one was left by a killed process, and the next to
write into that folder removes it, where the system has locks.
"""

import contextlib
import ctypes
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from wf_jax.folders import HIDDEN, is_remote, naming

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_ASIDE = ".wf_jax.old-"  # begins the name of a folder while another one takes its place
_swept: set[Path] = set()  # folders in which this process has looked for what others left


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, renamed onto `path` at the end of the block.

    The temporary name keeps the suffix of `path`, since many writers choose their format by it.
    When the block raises (a full disk, Ctrl-C), the temporary file is removed and an existing file
    at `path` stays as it was.

    Args:
        path: the file to write; its folder must exist.

    Yields:
        The path to write to, in the same folder, so that the rename stays on one file system.

    Raises:
        OSError: if the folder is missing or not writable, or the disk is full; it names `path`.
    """
    path = Path(path)
    suffix = path.suffix if len(os.fsencode(path.suffix)) < 16 else ""

    def make() -> Path:
        handle, name = tempfile.mkstemp(prefix=HIDDEN, suffix=suffix, dir=path.parent)
        os.close(handle)
        return Path(name)

    with naming(path), _held(make, path.parent) as temporary:
        try:
            yield temporary
            temporary.chmod(_new_file_mode(path))
            flush(temporary)
            os.replace(temporary, path)
            flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(folder: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yields a temporary folder beside `folder`, renamed to `folder` at the end of the block.

    When the block raises (a full disk, Ctrl-C), the temporary folder is removed and one that is
    there stays as it was.

    Args:
        folder: what to make.
        replace: whether a folder that is there then, and not empty, is replaced.

    Raises:
        OSError: a full disk, not writable, or something there is not replaced; names `folder`.
    """
    target = folder.resolve()
    with naming(folder):
        target.parent.mkdir(parents=True, exist_ok=True)
        restore(target)
        with _held(lambda: _new_folder(target.parent), target.parent) as temporary:
            try:
                yield temporary
                temporary.chmod(0o777 & ~_umask())  # mkdtemp gives 0o700
                for path in (*temporary.rglob("*"), temporary):
                    flush(path)
                if not (replace and target.is_dir()):
                    os.replace(temporary, target)
                elif not exchange(temporary, target):
                    os.replace(target, _aside(target))
                    os.replace(temporary, target)
                flush(target.parent)
            finally:
                restore(target)
                shutil.rmtree(temporary, ignore_errors=True)


def restore(folder: Path) -> None:
    """Brings back a folder that was moved aside to be replaced, if nothing took its place.

    Where two folders cannot change places in one step, a process may be killed between the two.

    Raises:
        OSError: it cannot be renamed.
    """
    target = folder.resolve()
    aside = _aside(target)
    if aside.exists() and not target.exists():
        os.replace(aside, target)
    shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yields a new folder among the system's temporary files, which is removed after the block."""
    place = Path(tempfile.gettempdir())
    with _held(lambda: _new_folder(place), place) as folder:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Removes what writers that were killed have left in a folder, as far as that is allowed."""
    if fcntl is None or not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name.startswith(HIDDEN):
            with contextlib.suppress(OSError), _open(path) as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_whole(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Calls `write` on a temporary file that becomes `path` when it is complete.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; it names `path`.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        write(file)


def write_text(path: Path, text: str) -> None:
    """Writes a text whole; objects of a remote store always appear so.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; it names `path`.
    """
    if not is_remote(path):
        return write_whole(path, lambda file: file.write(text.encode()))
    with naming(path):
        path.write_text(text)


def flush(path: Path) -> None:
    """Flushes a file's contents, or the names in a folder, to the disk where it can."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def exchange(one: Path, other: Path) -> bool:
    """Swaps two files or folders in one step; False where the system cannot.

    Raises:
        OSError: the system can, but may not.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2  # Linux
    except (AttributeError, OSError, TypeError):
        return False
    here = ctypes.c_int(-100)  # AT_FDCWD
    if rename(here, os.fsencode(one), here, os.fsencode(other), ctypes.c_uint(2)) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):  # by the file system
        return False
    raise OSError(number, os.strerror(number), str(other))


@contextlib.contextmanager
def _held(make: Callable[[], Path], parent: Path) -> Iterator[Path]:
    """Makes a temporary file or folder by `make` and locks it; sweeps its folder once before."""
    if parent.absolute() not in _swept:
        _swept.add(parent.absolute())
        sweep(parent)
    with contextlib.ExitStack() as stack:
        while not _hold(path := make(), stack):
            pass  # another process swept it away in that moment
        yield path


def _hold(path: Path, stack: contextlib.ExitStack) -> bool:
    """Locks `path` until the stack is closed; returns False where it is being removed."""
    if fcntl is None:
        return True
    try:
        handle = stack.enter_context(_open(path))
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError:  # there are no locks
        return True
    return path.exists()


@contextlib.contextmanager
def _open(path: Path) -> Iterator[int]:
    """Opens a file or folder, but no link."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield handle
    finally:
        os.close(handle)


def _new_folder(parent: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=HIDDEN, dir=parent))


def _aside(target: Path) -> Path:
    """Returns the path of a folder while another one takes its place."""
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    return target.parent / f"{_ASIDE}{digest}"


def _new_file_mode(path: Path) -> int:
    """The mode of the file that is replaced, else what open() would give (mkstemp gives 0o600)."""
    if path.exists():
        return path.stat().st_mode & 0o777
    return 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
