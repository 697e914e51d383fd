"""Answers the requests that compute: checks, descriptions, sounds and speech."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from experiments.studio import sounds
from experiments.studio.answers import OpenFile
from experiments.studio.requests import number_of, read_form, read_object
from experiments.studio.sources import Sources
from experiments.studio.turns import Turns
from wf_jax.errors import UserError
from wf_jax.flows.shipped_voices import DEFAULT, FOLDER


class SoundRequests:
    """The handlers of what is checked and heard."""

    def __init__(self, sources: Sources, turns: Turns, voices: Sequence[Path]):
        """Computes in turns; `voices` are folders of vocoders elsewhere."""
        self._sources, self._turns, self._voices = sources, turns, voices
        self._files, self._jobs = sources.files, sources.jobs

    async def check(self, request: Request) -> Response:
        """POST /check: a recording against its DI."""
        given = await read_object(request)
        source = await self._sources.named(given.get("input"))
        recording = await run_in_threadpool(self._files.__getitem__, given.get("output"))
        found = await self._turns.take(sounds.check, source, recording.path)
        return JSONResponse(await run_in_threadpool(self._files.named_in, found))

    async def inspect(self, request: Request) -> Response:
        """POST /inspect: what a model's file says."""
        async with read_form(request) as form, self._sources.taken(form, "model") as model:
            lines = await self._turns.take(sounds.describe, model)
            return JSONResponse({"lines": await run_in_threadpool(self._files.named_in, lines)})

    async def render(self, request: Request) -> Response:
        """POST /render: a sound through a model."""
        async with (
            read_form(request) as form,
            self._sources.taken(form, "model") as model,
            self._sources.taken(form, "input") as source,
        ):
            slim = number_of(form, "slim", 1.0, 1.0)
            wav = await self._turns.take(sounds.render, model, source, slim)
        return OpenFile(wav, "audio/wav")

    def list_voices(self, request: Request) -> Response:
        """GET /voices: what can speak."""
        del request
        named = [{"id": id, "name": name} for id, (name, _) in self._known_voices().items()]
        return JSONResponse({"voices": named})

    async def speak(self, request: Request) -> Response:
        """POST /speak: a recording or a mel by a voice, streamed."""
        from experiments.studio import voices

        async with read_form(request) as form, self._sources.taken(form, "input") as source:
            known = await run_in_threadpool(self._known_voices)
            id = str(form.get("voice", ""))
            if id not in known:
                raise UserError("voice: none of this id; GET /voices lists them")
            seed = int(number_of(form, "seed", 0.0, 2.0**32 - 1))
            temperature = number_of(form, "temperature", voices.TEMPERATURE, 10.0)
            speech = await self._turns.take(voices.speak, known[id][1], source, seed, temperature)
        headers = {"content-length": str(speech.size)}
        if speech.note:
            headers["x-note"] = quote(await run_in_threadpool(self._files.named, speech.note))
        parts = self._turns.parts(speech.chunks)
        return StreamingResponse(parts, media_type="audio/wav", headers=headers)

    def _known_voices(self) -> dict[str, tuple[str, Path]]:
        """Returns names and folders of what can speak, by id."""
        known = {f"folder-{n}": (path.name, path) for n, path in enumerate(self._voices)}
        folders = self._jobs.folders()
        for state in self._jobs.all():
            if state["speaks"] and state["id"] in folders:
                known[state["id"]] = (state["name"], folders[state["id"]])
        known.setdefault(DEFAULT, (DEFAULT, FOLDER / DEFAULT))
        return known
