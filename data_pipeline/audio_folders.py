"""Finds the audio files in a folder and its subfolders, and counts all other files by suffix."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from data_pipeline.audio_files import SUFFIXES

# Found as well, so that they are named as unsuitable and not passed over in silence.
_LOSSY_SUFFIXES = (".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma")


def is_audio(file: str) -> bool:
    """Returns whether the suffix is that of an audio file."""
    return Path(file).suffix.lower() in SUFFIXES + _LOSSY_SUFFIXES


@dataclass
class Listing:
    """The files of a folder and its subfolders.

    Attributes:
        audio: paths in the folder, with "/".
        others: number of files by other suffix; "" stands for none.
    """

    audio: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def list_audio(folder: Path) -> Listing:
    """Lists all audio files of a folder and its subfolders; skips hidden ones (.name).

    Links to folders are followed last, and each folder is listed once: a file that can be reached
    without a link is named without it, and circular links end.

    Raises:
        OSError: a folder cannot be read.
    """
    listing, seen = Listing(), set()
    waiting = [("", folder)]
    while waiting:
        links: list[tuple[str, Path]] = []
        while waiting:
            prefix, path = waiting.pop(0)
            status = path.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            folders, linked = _read(path, prefix, listing)
            waiting += folders
            links += linked
        waiting = links
    return listing


_Folders = list[tuple[str, Path]]


def _read(path: Path, prefix: str, listing: Listing) -> tuple[_Folders, _Folders]:
    """Adds the files of one folder; returns its subfolders and its links to folders."""
    folders, links = [], []
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):  # macOS leaves ._name.wav
                continue
            name = prefix + entry.name
            if entry.is_dir():
                (links if entry.is_symlink() else folders).append((f"{name}/", Path(entry.path)))
                continue
            # A link that leads nowhere counts too: reading it says so.
            if is_audio(entry.name) and (entry.is_file() or not Path(entry.path).exists()):
                listing.audio.append(name)
            else:
                listing.others[Path(entry.name).suffix.lower()] += 1
    return folders, links
