"""Finds the files that requests name: by ids, of runs, or in their forms."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from data_pipeline.synthetic_playing import BUILT_IN
from experiments.studio import sounds
from experiments.studio.files import Files
from experiments.studio.jobs import Jobs
from experiments.studio.turns import Turns
from wf_jax.errors import UserError


class Sources:
    """The files and runs of a folder, and the built-in DI, which is made at its first use."""

    def __init__(self, files: Files, jobs: Jobs, built_in: Path, turns: Turns):
        """Looks in these; the built-in DI becomes the file `built_in`."""
        self.files, self.jobs, self.built_in, self._turns = files, jobs, built_in, turns

    async def named(self, id: Any) -> Path:
        """Returns the path of a dropped file, or of the built-in DI.

        Raises:
            UserError: there is none of this id.
        """
        if id == BUILT_IN:
            return await self._turns.take(sounds.built_in_di, self.built_in)
        return (await run_in_threadpool(self.files.__getitem__, id)).path

    @contextlib.asynccontextmanager
    async def taken(self, form: FormData, name: str) -> AsyncIterator[Path]:
        """Yields the path of a form's file: an id of a file or a run, or a file in the form.

        Raises:
            UserError: there is none, or it cannot be used.
        """
        given = form.get(name)
        if isinstance(given, UploadFile):
            kept = await self.files.keep(given.filename or "", _chunks(given))
            try:
                yield kept.path
            except UserError as error:  # while its name is known
                raise UserError(await run_in_threadpool(self.files.named, str(error))) from None
            finally:
                await run_in_threadpool(self.files.forget, kept.id)
            return
        if not given:
            raise UserError(f"{name}: missing; give a file, or the id of one")
        model = await run_in_threadpool(self._model, given) if name == "model" else None
        yield model or await self.named(given)

    def _model(self, id: str) -> Path | None:
        """Returns the path of a run's model; None if there is no such run."""
        folder = self.jobs.folders().get(id)
        path = folder and folder / "model.nam"
        if path and not path.is_file():
            raise UserError(f"{id}: this run has no model yet; wait for its end, or stop it")
        return path


async def _chunks(upload: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await upload.read(1 << 20):
        yield chunk
