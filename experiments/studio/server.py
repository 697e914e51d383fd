"""The HTTP interface of Studio and its page; static/openapi.json describes it.

The handlers in file_requests.py, run_requests.py and sound_requests.py only translate: files.py has
the files by their ids, jobs.py the trainings, sounds.py and voices.py what is heard.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from experiments.studio.answers import Handler, answered, failure, http_error
from experiments.studio.file_requests import FileRequests
from experiments.studio.files import Files
from experiments.studio.guard import Guard
from experiments.studio.jobs import Jobs
from experiments.studio.pages import page_routes
from experiments.studio.run_requests import RunRequests
from experiments.studio.sound_requests import SoundRequests
from experiments.studio.sources import Sources
from experiments.studio.turns import Turns


def make_app(
    folder: Path, *, token: str, once: str, limit: int, voices: Sequence[Path], hosts: set[str]
) -> Starlette:
    """Makes the application.

    Args:
        folder: of all files and runs; made if it is missing.
        token: that every request must know.
        once: takes its place in the address of the page, for one visit.
        limit: of a request's body, in bytes.
        voices: folders of vocoders or releases outside it.
        hosts: names that the Host header may have, beside addresses.
    """
    kept, turns = Files(folder / "files"), Turns()
    sources = Sources(kept, Jobs(folder / "runs"), folder / "built-in_di.wav", turns)
    files, runs = FileRequests(sources), RunRequests(sources)
    sounds = SoundRequests(sources, turns, voices)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        task = asyncio.create_task(runs.keep_going())
        yield
        task.cancel()

    table: list[tuple[str, str, Handler]] = [
        ("POST", "/files", files.send),
        ("GET", "/files", files.list_files),
        ("GET", "/files/{id}", files.content),
        ("DELETE", "/files/{id}", files.drop),
        ("GET", "/built-in_di.wav", files.built_in_di),
        ("POST", "/check", sounds.check),
        ("POST", "/inspect", sounds.inspect),
        ("POST", "/render", sounds.render),
        ("GET", "/voices", sounds.list_voices),
        ("POST", "/speak", sounds.speak),
        ("POST", "/capture", runs.start),
        ("GET", "/capture", runs.list_runs),
        ("GET", "/capture/{id}", runs.state),
        ("DELETE", "/capture/{id}", runs.forget),
        ("POST", "/capture/{id}/stop", runs.stop),
        ("POST", "/capture/{id}/continue", runs.go_on),
        ("GET", "/capture/{id}/samples/{name}", runs.sample),
        ("GET", "/capture/{id}/{name}", runs.result),
    ]
    routes = [Route(at, answered(call, kept.named), methods=[verb]) for verb, at, call in table]
    routes += page_routes()
    guard = Middleware(Guard, token=token, once=once, limit=limit, hosts=hosts)
    handlers = {HTTPException: http_error, Exception: failure}
    return Starlette(
        routes=routes, middleware=[guard], exception_handlers=handlers, lifespan=lifespan
    )
