"""Answers the requests about runs, and starts those that wait."""

import asyncio
import logging
from html import escape
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from data_pipeline.synthetic_playing import BUILT_IN, DEMO
from experiments.studio.answers import download
from experiments.studio.captures import CONFIG, FILES, capture_flags
from experiments.studio.files import shown_name
from experiments.studio.requests import budget_of, read_object
from experiments.studio.sources import Sources
from wf_jax.errors import UserError

# Pages that a training wrote bring their style and sound along, and may reach nothing.
REPORT = "sandbox allow-scripts allow-downloads; default-src 'none'; style-src 'unsafe-inline'; "
REPORT += "script-src 'unsafe-inline'; img-src data: blob:; media-src data: blob:; "
REPORT += "connect-src data: blob:; frame-ancestors 'self'"
LOG = logging.getLogger("uvicorn.error")  # which is shown in the terminal
SECONDS_BETWEEN = 1.0  # looks at which job is next
_OURS = (None, "", DEMO, BUILT_IN)  # no ids of files


class RunRequests:
    """The handlers of /capture."""

    def __init__(self, sources: Sources):
        """Trains on these files."""
        self._sources, self._files, self._jobs = sources, sources.files, sources.jobs

    async def start(self, request: Request) -> Response:
        """POST /capture: trains."""
        given = await read_object(request)
        if given.get("input") == BUILT_IN:
            await self._sources.named(BUILT_IN)
        return JSONResponse(await run_in_threadpool(self._start, given), 201)

    def _start(self, given: dict[str, Any]) -> dict[str, Any]:
        flags = capture_flags(given, self._files, self._sources.built_in)
        ids = {name: given[name] for name in FILES if given.get(name) not in _OURS}
        kept = {name: self._files[id] for name, id in ids.items()}
        heard = kept.get("output") or kept.get("teacher")
        name = shown_name(str(given.get("name") or (heard.stem if heard else "built-in amp")))
        names = {name: file.name for name, file in kept.items()}
        return self._state(self._jobs.add(CONFIG, flags, name, names))

    def list_runs(self, request: Request) -> Response:
        """GET /capture: all runs."""
        del request
        return JSONResponse({"runs": [self._named(state) for state in self._jobs.all()]})

    def state(self, request: Request) -> Response:
        """GET /capture/{id}: how far a run is."""
        return JSONResponse(self._state(request.path_params["id"]))

    def stop(self, request: Request) -> Response:
        """POST /capture/{id}/stop: keeps the best so far."""
        self._jobs.stop(request.path_params["id"])
        return self.state(request)

    async def go_on(self, request: Request) -> Response:
        """POST /capture/{id}/continue: trains on."""
        given = await read_object(request)
        minutes, steps = (budget_of(given, name) for name in ("minutes", "steps"))
        if minutes and steps:
            raise UserError(f"minutes={minutes} and steps={steps} exclude each other; give one")
        id = request.path_params["id"]
        await run_in_threadpool(self._jobs.go_on, id, float(minutes), int(steps))
        return await run_in_threadpool(self.state, request)

    def forget(self, request: Request) -> Response:
        """DELETE /capture/{id}."""
        self._jobs.forget(request.path_params["id"])
        return JSONResponse({})

    def result(self, request: Request) -> Response:
        """GET /capture/{id}/{name}: model.nam or report.html."""
        id, name = request.path_params["id"], request.path_params["name"]
        folder, state = self._jobs.folder(id), self._jobs.state(id)
        if name not in state["results"]:
            raise UserError(f"{state['name']}: no {name[:40]} yet; wait for its end, or stop it")
        if name == "report.html":
            page = self._files.named((folder / name).read_text(encoding="utf-8"), escape)
            policy = {"content-security-policy": REPORT}
            return Response(page, media_type="text/html", headers=policy)
        called = shown_name(state["name"].replace("/", "-"))
        return download(folder / name, f"{called.removesuffix('.nam')}.nam")

    def sample(self, request: Request) -> Response:
        """GET /capture/{id}/samples/{name}: a sound of a run that trains."""
        id, name = request.path_params["id"], request.path_params["name"]
        if name not in self._jobs.state(id)["samples"]:
            raise UserError(f"{name[:40]}: no sound of this run")
        return download(self._jobs.folder(id) / "samples" / name, name, inline=True)

    async def keep_going(self) -> None:
        """Starts one waiting job after the other."""
        said = ""
        while True:
            try:
                await run_in_threadpool(self._jobs.advance)
            except Exception as error:  # whatever it is, the next look may go well
                if said != (said := str(error)):
                    LOG.exception("the next training could not be looked for")
            await asyncio.sleep(SECONDS_BETWEEN)

    def _state(self, id: str) -> dict[str, Any]:
        return self._named(self._jobs.state(id))

    def _named(self, state: dict[str, Any]) -> dict[str, Any]:
        """Puts the names of files into what a training printed."""
        told = {key: self._files.named(state[key]) for key in ("log", "error") if key in state}
        return state | told
