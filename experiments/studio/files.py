"""The files that were dropped: each in a folder of its own under a made id, its name as text."""

import contextlib
import dataclasses
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from anyio import CancelScope, open_file, to_thread

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
ABOUT = "about.json"
LONGEST_NAME = 200  # characters


@dataclasses.dataclass(frozen=True)
class Kept:
    """A file that was dropped.

    Attributes:
        id: made here, 16 hexadecimal digits.
        name: as its owner calls it; only shown.
        kind: "sound", "model" or "mel".
        path: of its content.
        size: of its content, in bytes.
        facts: of a sound: seconds, sample_rate and channels.
    """

    id: str
    name: str
    kind: str
    path: Path
    size: int
    facts: dict[str, Any]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self.name.rpartition(".")[0] or self.name

    def described(self) -> dict[str, Any]:
        """Returns it as JSON has it."""
        about = {"id": self.id, "name": self.name, "kind": self.kind, "size": self.size}
        return about | self.facts


class Files:
    """The dropped files of a folder."""

    def __init__(self, folder: Path):
        """Makes the folder if it is missing; removes what a killed server was being sent."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for place in folder.iterdir():
            if ID.fullmatch(place.name) and not (place / ABOUT).exists():
                shutil.rmtree(place, ignore_errors=True)

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
        path = place / f"{place.name}{suffix}"
        try:
            await to_thread.run_sync(place.mkdir)
            async with await open_file(path, "wb") as file:
                async for chunk in chunks:
                    await file.write(chunk)
            return await to_thread.run_sync(self._examined, name, path)
        except BaseException:
            with CancelScope(shield=True):
                await to_thread.run_sync(partial(shutil.rmtree, place, ignore_errors=True))
            raise

    def _examined(self, name: str, path: Path) -> Kept:
        """Writes what is known of a file that is complete."""
        kind = KINDS[path.suffix]
        about = {"name": name, "kind": kind, "facts": {}}
        write_json(path.parent / ABOUT, about)
        try:
            about["facts"] = _facts(path, kind)
        except UserError as error:
            raise UserError(self.named(str(error))) from None
        write_json(path.parent / ABOUT, about)
        return self[path.parent.name]

    def __getitem__(self, id: str) -> Kept:
        """Returns a file.

        Raises:
            UserError: there is none of this id.
        """
        if isinstance(id, str) and ID.fullmatch(id):
            about = read_table(self._folder / id / ABOUT)
            name, kind, facts = (about.get(key) for key in ("name", "kind", "facts"))
            paths = [p for p in (self._folder / id).glob(f"{id}.*") if p.suffix in KINDS]
            known = isinstance(name, str) and isinstance(kind, str) and isinstance(facts, dict)
            if paths and known:
                return Kept(id, name, kind, paths[0], paths[0].stat().st_size, facts)
        raise UserError(f"{printable(str(id))[:40]}: no file of this id; send it again")

    def __iter__(self) -> Iterator[Kept]:
        """Yields all, the newest first."""
        found: list[tuple[float, Kept]] = []
        for place in self._folder.iterdir():
            with contextlib.suppress(UserError, OSError):  # sent or deleted at this moment
                found.append((place.stat().st_mtime, self[place.name]))
        yield from (kept for _, kept in sorted(found, key=lambda pair: -pair[0]))

    def forget(self, id: str) -> None:
        """Deletes a file.

        Raises:
            UserError: there is none of this id.
        """
        shutil.rmtree(self[id].path.parent)

    def named(self, text: str, written: Callable[[str], str] = str) -> str:
        """Puts the names of files in the place of their paths and ids in a text.

        Other paths of the folder begin in it.

        Args:
            text: a message, or a page.
            written: how the text writes what stands in it; `html.escape` for a page.
        """
        folder = re.escape(written(str(self._folder)))
        pattern = rf"(?:{folder}/)?(?:[0-9a-f]{{16}}/)?\b([0-9a-f]{{16}})\b(\.\w+)?"

        def name(found: re.Match[str]) -> str:
            called = read_table(self._folder / found[1] / ABOUT).get("name")
            if not isinstance(called, str):
                return found[0]
            return written(called if found[2] else Path(called).stem)

        return re.sub(pattern, name, text).replace(written(f"{self._folder.parent}/"), "")

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
