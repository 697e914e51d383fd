"""Finds what an address of the Hugging Face hub names: hf://USER/NAME[@REVISION][/FILE].

Downloads go through the cache of the package huggingface_hub, which answers where there is no
network. Nothing in a download is executed, and sizes are asked for before it begins.
"""

import contextlib
import functools
import glob
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from wf_jax.errors import UserError, short

SCHEME = "hf://"
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
_WORD = r"\w+(?:[.-]\w+)*"
_REPOSITORY = re.compile(rf"{_WORD}/{_WORD}", re.ASCII)
_ADDRESS = re.compile(
    rf"{SCHEME}(?P<repository>{_WORD}/{_WORD})(?:@(?P<revision>{_WORD}))?(?:/(?P<file>.+))?",
    re.ASCII,
)
_LONGEST = 96  # characters of a repository's name


class Address(NamedTuple):
    """An address, taken apart.

    Attributes:
        repository: USER/NAME.
        revision: a branch, a tag or a commit; None for the main branch.
        file: path in the repository; None for all of it.
    """

    repository: str
    revision: str | None
    file: str | None


def local_folder(name: str | os.PathLike, files: Sequence[str], most: int) -> Path:
    """Returns the folder that a user names: a path, or a download of hf://USER/NAME.

    Args:
        name: a path, or an address.
        files: what is downloaded: names in the repository, or patterns such as "*.npz".
        most: bytes, of all of them together.

    Raises:
        UserError: it is no address, the hub does not give it, or it has more bytes.
    """
    if not _is_address(name):
        return Path(name)
    address = _address(name)
    if address.file is not None:
        raise UserError(f"{name}: names a file; give {SCHEME}USER/NAME, which is a folder")
    return _download(name, address, files, most)


def local_file(name: str | os.PathLike, most: int) -> Path:
    """Returns the file that a user names: a path, or a download of hf://USER/NAME/FILE.

    Args:
        name: a path, or an address.
        most: bytes.

    Raises:
        UserError: it is no address, the hub does not give it, or it has more bytes.
    """
    if not _is_address(name):
        return Path(name)
    address = _address(name)
    if address.file is None:
        raise UserError(f"{name}: names no file; give {SCHEME}USER/NAME/FILE")
    path = _download(name, address, [glob.escape(address.file)], most) / address.file
    if not path.is_file():
        raise UserError(f"{name}: not in the cache, and the hub does not answer; try again")
    return path


def check_repository(name: str) -> None:
    """Refuses what cannot name a repository.

    Raises:
        UserError: it is not of the form USER/NAME.
    """
    if not _REPOSITORY.fullmatch(name) or len(name) > _LONGEST:
        raise UserError(
            f"{name}: no name of a repository; give USER/NAME: letters, digits, and single - . "
            f"between them, {_LONGEST} characters at most"
        )


@contextlib.contextmanager
def hub(name: str) -> Iterator[ModuleType]:
    """Gives the package huggingface_hub, and re-raises its errors as a line about `name`.

    Raises:
        UserError: the package is missing, or the hub refuses or cannot be reached.
        OSError: of the local disk.
    """
    try:
        import huggingface_hub as package
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError:
        raise UserError(
            f"{name}: the hub takes the package huggingface_hub (extra hub): "
            "pip install huggingface_hub"
        ) from None
    bars = contextlib.nullcontext() if sys.stderr.isatty() else _without_bars(package)
    try:
        with bars:
            yield package
    except UserError:
        raise
    # HTTPError is that of its HTTP library; the other way of transport raises RuntimeErrors.
    except (package.errors.HTTPError, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{name}: {_reason(error, package.errors)}") from error


def _download(name: str, address: Address, patterns: Sequence[str], most: int) -> Path:
    """Returns the folder of the files that the patterns name, once their sizes are known."""
    wanted = {"revision": address.revision, "allow_patterns": list(patterns)}
    with hub(name) as package:
        download = functools.partial(package.snapshot_download, address.repository, **wanted)
        try:
            with _without_bars(package):
                found = download(dry_run=True)
        except package.errors.DryRunError:  # the hub does not answer: what is there already
            return Path(download(local_files_only=True))
        if not found:
            raise UserError(f"{name}: the repository has no such files; check the name")
        if any(file.file_size is None for file in found):
            raise UserError(f"{name}: the hub does not say how large it is; try again later")
        size = sum(file.file_size for file in found)
        if size > most:
            raise UserError(f"{name}: {size:,} bytes, but {most:,} are the most that is downloaded")
        return Path(download())


@contextlib.contextmanager
def _without_bars(package: ModuleType) -> Iterator[None]:
    """Hides progress bars, which fill a log file."""
    if package.utils.are_progress_bars_disabled():
        yield
        return
    package.utils.disable_progress_bars()
    try:
        yield
    finally:
        package.utils.enable_progress_bars()


def _is_address(name: str | os.PathLike) -> bool:
    return isinstance(name, str) and name.startswith(SCHEME)


def _address(name: str) -> Address:
    match = _ADDRESS.fullmatch(name)
    file = match and match["file"]
    if not match or (file and {"", ".", ".."} & set(file.split("/"))):
        raise UserError(f"{name}: no address of the hub; write {SCHEME}USER/NAME[@REVISION][/FILE]")
    check_repository(match["repository"])
    return Address(match["repository"], match["revision"], file)


def _reason(error: BaseException, errors: ModuleType) -> str:
    """Says in one line why the hub did not do what was asked, and the remedy."""
    reasons = {
        errors.GatedRepoError: "its owner grants access; ask for it on its page, and log in",
        errors.RepositoryNotFoundError: (
            f"no such repository, or not for you; check the name, or {LOG_IN}"
        ),
        errors.RevisionNotFoundError: "no such revision; name a branch, a tag or a commit",
        errors.OfflineModeIsEnabled: "not in the cache, and HF_HUB_OFFLINE forbids to download it",
    }
    causes = [*_causes(error)]
    for kind, reason in reasons.items():
        if any(isinstance(cause, kind) for cause in causes):
            return reason
    for cause in causes:
        if isinstance(cause, errors.HfHubHTTPError):
            return _refusal(cause.response.status_code, cause.server_message or str(cause))
    if isinstance(error, ValueError):  # of what was to be uploaded
        return _one_line(error)
    return f"no connection to the hub, or a broken one ({_one_line(causes[-1])}); try again"


def _refusal(status: int, said: str) -> str:
    if status == 401:
        return f"the hub does not know this token; {LOG_IN}"
    if status == 403:
        return f"this token has no permission for it; {LOG_IN}, with a token that may write"
    return f"the hub answers {status}: {_one_line(said)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _one_line(said: object) -> str:
    return short(" ".join(str(said).split()))
