"""The files that were dropped: each in a folder of its own under a made id, its name as text."""

import dataclasses
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from data_pipeline.audio_files import SUFFIXES, AudioFile
from experiments.run.json_files import read_table, write_json
from wf_jax.amps.amp_files import read_amp
from wf_jax.errors import UserError, printable

ID = re.compile(r"[0-9a-f]{16}")
SOUND, MODEL, MEL = "sound", "model", "mel"
KINDS = {
    **dict.fromkeys((*SUFFIXES, ".ogg", ".oga"), SOUND),
    **dict.fromkeys((".nam", ".json", ".aidax"), MODEL),
    **dict.fromkeys((".npy", ".npz"), MEL),
}
LONGEST_NAME = 200  # characters


@dataclasses.dataclass(frozen=True)
class Kept:
    """A file that was dropped.

    Attributes:
        id: made here, 16 hexadecimal digits.
        name: as its owner calls it; only shown.
        kind: "sound", "model" or "mel".
        path: of its content.
        facts: of a sound: seconds, sample_rate and channels.
    """

    id: str
    name: str
    kind: str
    path: Path
    facts: dict[str, Any]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self.name.rpartition(".")[0] or self.name

    def described(self) -> dict[str, Any]:
        """Returns it as JSON has it."""
        return {"id": self.id, "name": self.name, "kind": self.kind, **self.facts}


class Files:
    """The dropped files of a folder."""

    def __init__(self, folder: Path):
        """Makes the folder if it is missing."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def keep(self, name: str, chunks: AsyncIterator[bytes]) -> Kept:
        """Writes what comes to the disk, and looks at its header.

        Raises:
            UserError: it is no sound, model or mel, or damaged.
        """
        name = shown_name(name)
        suffix = Path(name).suffix.lower()
        if suffix not in KINDS:
            raise UserError(
                f"{name}: give a sound ({', '.join(SUFFIXES)}), a model (.nam, .json) or a mel "
                "(.npy, .npz)"
            )
        place = self._folder / secrets.token_hex(8)
        place.mkdir()
        try:
            path = place / f"{place.name}{suffix}"
            with path.open("wb") as file:
                async for chunk in chunks:
                    file.write(chunk)
            about = {"name": name, "kind": KINDS[suffix], "facts": {}}
            write_json(place / "about.json", about)
            about["facts"] = _facts(path, KINDS[suffix])
            write_json(place / "about.json", about)
        except BaseException as error:
            said = self.named(str(error)) if isinstance(error, UserError) else ""
            shutil.rmtree(place, ignore_errors=True)
            if said:
                raise UserError(said) from None
            raise
        return self[place.name]

    def __getitem__(self, id: str) -> Kept:
        """Returns a file.

        Raises:
            UserError: there is none of this id.
        """
        if isinstance(id, str) and ID.fullmatch(id):
            about = read_table(self._folder / id / "about.json")
            paths = [p for p in (self._folder / id).glob(f"{id}.*") if p.suffix in KINDS]
            if paths and {"name", "kind", "facts"} <= about.keys():
                return Kept(id, about["name"], about["kind"], paths[0], about["facts"])
        raise UserError(f"{printable(str(id))[:40]}: no file of this id; send it again")

    def __iter__(self) -> Iterator[Kept]:
        """Yields all, the newest first."""
        places = [p for p in self._folder.iterdir() if ID.fullmatch(p.name)]
        for place in sorted(places, key=lambda p: p.stat().st_mtime, reverse=True):
            if (place / "about.json").exists():
                yield self[place.name]

    def forget(self, id: str) -> None:
        """Deletes a file.

        Raises:
            UserError: there is none of this id.
        """
        shutil.rmtree(self[id].path.parent)

    def named(self, text: str) -> str:
        """Puts the names of files in the place of their paths and ids in a message.

        Other paths of the folder begin in it.
        """
        folder = re.escape(str(self._folder))
        pattern = rf"(?:{folder}/)?(?:[0-9a-f]{{16}}/)?\b([0-9a-f]{{16}})\b(\.\w+)?"

        def name(found: re.Match[str]) -> str:
            about = read_table(self._folder / found[1] / "about.json")
            if "name" not in about:
                return found[0]
            return about["name"] if found[2] else Path(about["name"]).stem

        return re.sub(pattern, name, text).replace(f"{self._folder.parent}/", "")

    def named_in(self, content: Any) -> Any:
        """Does `named` for every text in a value of JSON."""
        if isinstance(content, dict):
            return {key: self.named_in(value) for key, value in content.items()}
        if isinstance(content, list):
            return [self.named_in(value) for value in content]
        return self.named(content) if isinstance(content, str) else content


def shown_name(name: str) -> str:
    """Returns a name as it may be shown: without folders and what moves a cursor, not too long."""
    last = re.split(r"[/\\]", name)[-1].encode(errors="replace").decode()
    last = "".join(c for c in last if c.isprintable()).strip() or "unnamed"
    stem, dot, suffix = last.rpartition(".")
    return f"{stem[: LONGEST_NAME - 21]}{dot}{suffix[:20]}" if dot else last[:LONGEST_NAME]


def _facts(path: Path, kind: str) -> dict[str, Any]:
    """Looks at a file; raises UserError where it cannot be used."""
    if kind == MODEL:
        file = read_amp(path)
        return {"architecture": file.architecture}
    if kind == MEL:
        return {}
    file = AudioFile(path, lossy=True)
    return {"seconds": file.seconds, "sample_rate": file.sample_rate, "channels": file.channels}
