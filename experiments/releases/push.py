"""Uploads a release folder to the Hugging Face hub, in one commit."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from experiments.releases.card import addressed, card
from wf_jax import __version__
from wf_jax.errors import UserError, printable
from wf_jax.export.manifest import CARD, MANIFEST, SUFFIX, read_release
from wf_jax.hub import LOG_IN, SCHEME, check_repository, hub
from wf_jax.plurals import counted

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclasses.dataclass(frozen=True)
class Push:
    """A release and where it goes; see the flags of experiments.push."""

    release: str
    repository: str
    private: bool = False


def push(given: Push) -> None:
    """Uploads a release, once all its files are found to be as they were written.

    Raises:
        UserError: there is no release, it is damaged, or the hub does not take it.
    """
    check_repository(given.repository)
    folder = Path(given.release)
    manifest, files = read_release(folder)
    contents = files | {MANIFEST: (folder / MANIFEST).read_bytes()} | _others(folder, files)
    text = contents[CARD].decode(errors="replace") if CARD in contents else card(manifest)
    contents[CARD] = addressed(text, SCHEME + given.repository).encode()
    with hub(given.repository) as package:
        if not package.get_token():
            raise UserError(f"{given.repository}: no token of the hub; {LOG_IN}")
        api = package.HfApi(library_name="wf_jax", library_version=__version__)
        url = _repository(api, given)
        _commit(package, api, given.repository, contents, f"Release of {printable(manifest.name)}")
    total = sum(len(data) for data in contents.values())
    print(f"{given.repository}: {counted(len(contents), 'file')}, {total / 1e6:.1f} MB\n{url}")
    print(f'use it: wf_jax.export.load("{SCHEME}{given.repository}"), as its {CARD} shows')


def _others(folder: Path, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Reads what the digests do not cover: README.md, and files that somebody added.

    Links are passed over, since a stranger's could lead anywhere, and hidden files.
    """
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.name not in {*files, MANIFEST}
        and path.is_file()
        and not (path.is_symlink() or path.name.startswith("."))
    }


def _repository(api: "HfApi", given: Push) -> str:
    """Makes the repository unless it is there; returns its page."""
    url = api.create_repo(given.repository, private=given.private or None, exist_ok=True)
    if given.private and not api.model_info(given.repository).private:
        raise UserError(
            f"{given.repository}: is there, and everybody sees it; change that on {url}, or leave "
            "--private out"
        )
    return str(url)


def _commit(
    package: ModuleType, api: "HfApi", repository: str, contents: Mapping[str, bytes], message: str
) -> None:
    """Uploads the files, and removes functions that an earlier release had."""
    there = {name for name in api.list_repo_files(repository) if name.endswith(SUFFIX)}
    added = [package.CommitOperationAdd(name, data) for name, data in contents.items()]
    removed = [package.CommitOperationDelete(name) for name in sorted(there - contents.keys())]
    api.create_commit(repository, [*added, *removed], commit_message=message)
