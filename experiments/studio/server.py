"""The HTTP interface of Studio and its page; static/openapi.json describes it.

Handlers only translate: files.py has the files by their ids, jobs.py the trainings, sounds.py and
voices.py what is heard.
"""

import asyncio
import contextlib
import functools
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from experiments.studio import sounds
from experiments.studio.captures import BUILT_IN, CONFIG, DEMO, FILES, capture_flags
from experiments.studio.files import Files, Kept, shown_name
from experiments.studio.guard import Guard, TooLargeError
from experiments.studio.jobs import Jobs
from experiments.studio.pages import page_routes
from experiments.studio.requests import budget_of, number_of, read_form, read_object
from wf_jax.errors import UserError, why

# Pages that a training wrote bring their style and sound along, and may reach nothing.
REPORT = "sandbox allow-scripts allow-downloads; default-src 'none'; style-src 'unsafe-inline'; "
REPORT += "script-src 'unsafe-inline'; img-src data: blob:; media-src data: blob:; "
REPORT += "connect-src data: blob:; frame-ancestors 'self'"
LOG = logging.getLogger("uvicorn.error")  # which is shown in the terminal
_OURS = (None, "", DEMO, BUILT_IN)  # no ids of files
SECONDS_BETWEEN = 1.0  # looks at which job is next


class Studio:
    """The handlers of one folder."""

    def __init__(self, folder: Path, voices: Sequence[Path]):
        """Makes the folder if it is missing.

        Args:
            folder: of all files and runs.
            voices: folders of vocoders elsewhere.
        """
        self.files, self.jobs = Files(folder / "files"), Jobs(folder / "runs")
        self._built_in, self._voices = folder / "built-in_di.wav", voices

    async def send(self, request: Request) -> Response:
        """POST /files: keeps a file, whose body is the request's."""
        name = request.query_params.get("name", "")
        kept = await self.files.keep(name, request.stream())
        return JSONResponse(kept.described(), 201)

    async def list_files(self, request: Request) -> Response:
        """GET /files."""
        del request
        return JSONResponse({"files": [kept.described() for kept in self.files]})

    async def content(self, request: Request) -> Response:
        """GET /files/{id}: the content of a file."""
        kept = self.files[request.path_params["id"]]
        return _download(kept.path, kept.name, inline=True)

    async def drop(self, request: Request) -> Response:
        """DELETE /files/{id}."""
        self.files.forget(request.path_params["id"])
        return JSONResponse({})

    async def built_in_di(self, request: Request) -> Response:
        """GET /built-in_di.wav: to be played through an amp."""
        del request
        path = await run_in_threadpool(sounds.built_in_di, self._built_in)
        return _download(path, "built-in_di.wav")

    async def check(self, request: Request) -> Response:
        """POST /check: a recording against its DI."""
        given = await read_object(request)
        source = await self._source(given.get("input"))
        recording = self.files[given.get("output")]
        found = await run_in_threadpool(sounds.check, source, recording.path)
        return JSONResponse(self.files.named_in(found))

    async def inspect(self, request: Request) -> Response:
        """POST /inspect: what a model's file says."""
        async with read_form(request) as form, self._taken(form, "model") as model:
            lines = await run_in_threadpool(sounds.describe, model)
            return JSONResponse({"lines": self.files.named_in(lines)})

    async def render(self, request: Request) -> Response:
        """POST /render: a sound through a model."""
        async with (
            read_form(request) as form,
            self._taken(form, "model") as model,
            self._taken(form, "input") as source,
        ):
            slim = number_of(form, "slim", 1.0, 1.0)
            wav = await run_in_threadpool(sounds.render, model, source, slim)
        return Response(wav, media_type="audio/wav")

    async def list_voices(self, request: Request) -> Response:
        """GET /voices: what can speak."""
        del request
        named = [{"id": id, "name": name} for id, (name, _) in self._known_voices().items()]
        return JSONResponse({"voices": named})

    async def speak(self, request: Request) -> Response:
        """POST /speak: a recording or a mel by a voice, streamed."""
        from experiments.studio import voices

        async with read_form(request) as form, self._taken(form, "input") as source:
            known, id = self._known_voices(), str(form.get("voice", ""))
            if id not in known:
                raise UserError("voice: none of this id; GET /voices lists them")
            seed = int(number_of(form, "seed", 0.0, 2.0**32 - 1))
            temperature = number_of(form, "temperature", 0.8, 10.0)
            speech = await run_in_threadpool(voices.speak, known[id][1], source, seed, temperature)
        size = {"content-length": str(speech.size), "x-note": speech.note.encode().hex()}
        return StreamingResponse(speech.chunks, media_type="audio/wav", headers=size)

    async def start(self, request: Request) -> Response:
        """POST /capture: trains."""
        given = await read_object(request)
        if given.get("input") == BUILT_IN:
            await self._source(BUILT_IN)
        flags = await run_in_threadpool(capture_flags, given, self.files, self._built_in)
        ids = {name: given[name] for name in FILES if given.get(name) not in _OURS}
        kept = {name: self.files[id] for name, id in ids.items()}
        heard = kept.get("output") or kept.get("teacher")
        usual = heard.stem if heard else "built-in amp"
        name = shown_name(str(given.get("name") or usual))
        names = {name: file.name for name, file in kept.items()}
        id = await run_in_threadpool(self.jobs.add, CONFIG, flags, name, names)
        return JSONResponse(self._state(id), 201)

    async def list_jobs(self, request: Request) -> Response:
        """GET /capture: all runs."""
        del request
        states = await run_in_threadpool(lambda: list(self.jobs.all()))
        return JSONResponse({"runs": [self._named(state) for state in states]})

    async def state(self, request: Request) -> Response:
        """GET /capture/{id}: how far a run is."""
        return JSONResponse(await run_in_threadpool(self._state, request.path_params["id"]))

    async def stop(self, request: Request) -> Response:
        """POST /capture/{id}/stop: keeps the best so far."""
        id = request.path_params["id"]
        await run_in_threadpool(self.jobs.stop, id)
        return JSONResponse(self._state(id))

    async def go_on(self, request: Request) -> Response:
        """POST /capture/{id}/continue: trains on."""
        id, given = request.path_params["id"], await read_object(request)
        minutes, steps = (budget_of(given, name) for name in ("minutes", "steps"))
        await run_in_threadpool(self.jobs.go_on, id, float(minutes), int(steps))
        return JSONResponse(self._state(id))

    async def forget(self, request: Request) -> Response:
        """DELETE /capture/{id}."""
        await run_in_threadpool(self.jobs.forget, request.path_params["id"])
        return JSONResponse({})

    async def result(self, request: Request) -> Response:
        """GET /capture/{id}/{name}: model.nam or report.html."""
        id, name = request.path_params["id"], request.path_params["name"]
        folder, state = self.jobs.folder(id), self.jobs.state(id)
        if name not in state["results"]:
            raise UserError(f"{state['name']}: no {name[:40]} yet; wait for its end, or stop it")
        if name == "report.html":
            page = self.files.named((folder / name).read_text())
            return Response(
                page, media_type="text/html", headers={"content-security-policy": REPORT}
            )
        return _download(folder / name, f"{Path(state['name']).stem}.nam")

    async def sample(self, request: Request) -> Response:
        """GET /capture/{id}/samples/{name}: a sound of a run that trains."""
        id, name = request.path_params["id"], request.path_params["name"]
        if name not in self.jobs.state(id)["samples"]:
            raise UserError(f"{name[:40]}: no sound of this run")
        return _download(self.jobs.folder(id) / "samples" / name, name, inline=True)

    async def keep_going(self) -> None:
        """Starts one waiting job after the other."""
        said = ""
        while True:
            try:
                await run_in_threadpool(self.jobs.advance)
            except Exception as error:  # whatever it is, the next look may go well
                if said != (said := str(error)):
                    LOG.exception("the next training could not be looked for")
            await asyncio.sleep(SECONDS_BETWEEN)

    def _state(self, id: str) -> dict[str, Any]:
        return self._named(self.jobs.state(id))

    def _named(self, state: dict[str, Any]) -> dict[str, Any]:
        """Puts the names of files into what a training printed."""
        told = {key: self.files.named(state[key]) for key in ("log", "error") if key in state}
        return state | told

    def _known_voices(self) -> dict[str, tuple[str, Path]]:
        """Returns names and folders of what can speak, by id."""
        known = {f"folder-{n}": (path.name, path) for n, path in enumerate(self._voices)}
        for state in self.jobs.all():
            if state.get("speaks"):
                known[state["id"]] = (state["name"], self.jobs.folder(state["id"]))
        return known

    async def _source(self, id: Any) -> Path:
        if id == BUILT_IN:
            return await run_in_threadpool(sounds.built_in_di, self._built_in)
        return self.files[id].path

    @contextlib.asynccontextmanager
    async def _taken(self, form: FormData, name: str) -> AsyncIterator[Path]:
        """Yields the path of a form's file: an id of a file or a run, or a file in the form."""
        given = form.get(name)
        if isinstance(given, UploadFile):
            kept = await self._kept(given)
            try:
                yield kept.path
            except UserError as error:  # while its name is known
                raise UserError(self.files.named(str(error))) from None
            finally:
                self.files.forget(kept.id)
        elif name == "model" and given in self.jobs.folders():
            path = self.jobs.folder(str(given)) / "model.nam"
            if not path.is_file():
                raise UserError(f"{given}: this run has no model yet; wait for its end, or stop it")
            yield path
        elif given:
            yield await self._source(given)
        else:
            raise UserError(f"{name}: missing; give a file, or the id of one")

    async def _kept(self, upload: UploadFile) -> Kept:
        async def chunks() -> AsyncIterator[bytes]:
            while chunk := await upload.read(1 << 20):
                yield chunk

        return await self.files.keep(upload.filename or "", chunks())


def make_app(
    folder: Path, *, token: str, limit: int, voices: Sequence[Path], hosts: set[str]
) -> Starlette:
    """Makes the application.

    Args:
        folder: of all files and runs; made if it is missing.
        token: that every request must know.
        limit: of a request's body, in bytes.
        voices: folders of vocoders or releases outside it.
        hosts: names that the Host header may have, beside addresses.
    """
    studio = Studio(folder, voices)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        task = asyncio.create_task(studio.keep_going())
        yield
        task.cancel()

    table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
        ("POST", "/files", studio.send),
        ("GET", "/files", studio.list_files),
        ("GET", "/files/{id}", studio.content),
        ("DELETE", "/files/{id}", studio.drop),
        ("GET", "/built-in_di.wav", studio.built_in_di),
        ("POST", "/check", studio.check),
        ("POST", "/inspect", studio.inspect),
        ("POST", "/render", studio.render),
        ("GET", "/voices", studio.list_voices),
        ("POST", "/speak", studio.speak),
        ("POST", "/capture", studio.start),
        ("GET", "/capture", studio.list_jobs),
        ("GET", "/capture/{id}", studio.state),
        ("DELETE", "/capture/{id}", studio.forget),
        ("POST", "/capture/{id}/stop", studio.stop),
        ("POST", "/capture/{id}/continue", studio.go_on),
        ("GET", "/capture/{id}/samples/{name}", studio.sample),
        ("GET", "/capture/{id}/{name}", studio.result),
    ]
    routes = [Route(path, _answered(call, studio), methods=[verb]) for verb, path, call in table]
    routes += page_routes()
    guard = Middleware(Guard, token=token, limit=limit, hosts=hosts)
    handlers = {HTTPException: _http_error, Exception: _failure}
    return Starlette(
        routes=routes, middleware=[guard], exception_handlers=handlers, lifespan=lifespan
    )


def _answered(
    call: Callable[[Request], Awaitable[Response]], studio: Studio
) -> Callable[[Request], Awaitable[Response]]:
    """Turns what a person can mend into one line as JSON."""

    @functools.wraps(call)
    async def answered(request: Request) -> Response:
        try:
            return await call(request)
        except UserError as error:
            return JSONResponse({"error": studio.files.named(str(error))}, 400)
        except TooLargeError as error:
            return JSONResponse({"error": str(error)}, 413, {"connection": "close"})
        except OSError as error:
            named = f"{os.fsdecode(error.filename)}: " if error.filename else ""
            return JSONResponse({"error": studio.files.named(f"{named}{why(error)}")}, 507)
        except ClientDisconnect:
            return Response(status_code=400)

    return answered


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = f"{request.method} {request.url.path}: {error.detail}; /api lists what there is"
    return JSONResponse({"error": said}, error.status_code, error.headers)


async def _failure(request: Request, error: Exception) -> Response:
    said = f"{request.method} {request.url.path}: {type(error).__name__}; see the terminal"
    return JSONResponse({"error": said}, 500)


def _download(path: Path, name: str, *, inline: bool = False) -> FileResponse:
    kind = "inline" if inline else "attachment"
    sound = {".wav": "audio/wav", ".nam": "application/json"}.get(path.suffix)
    return FileResponse(path, media_type=sound, filename=name, content_disposition_type=kind)
