"""Makes the answers to requests: files, and one line as JSON about what a person can mend."""

import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from experiments.studio.guard import TooLargeError
from experiments.studio.turns import BusyError
from wf_jax.errors import UserError, why

Handler = Callable[[Request], Response] | Callable[[Request], Awaitable[Response]]
_BLOCK = 1 << 18  # bytes


def answered(
    handler: Handler, named: Callable[[str], str]
) -> Callable[[Request], Awaitable[Response]]:
    """Turns what a person can mend into one line as JSON.

    Args:
        handler: answers a request; in a thread, unless it is asynchronous.
        named: puts the names of files in the place of their paths in a text.
    """

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            if inspect.iscoroutinefunction(handler):
                return await handler(request)
            return await run_in_threadpool(handler, request)
        except UserError as error:
            return JSONResponse({"error": await run_in_threadpool(named, str(error))}, 400)
        except TooLargeError as error:
            return JSONResponse({"error": str(error)}, 413, {"connection": "close"})
        except BusyError as error:
            return JSONResponse({"error": str(error)}, 503, {"retry-after": "5"})
        except OSError as error:
            file = f"{os.fsdecode(error.filename)}: " if error.filename else ""
            said = await run_in_threadpool(named, f"{file}{why(error)}")
            return JSONResponse({"error": said}, 507)
        except ClientDisconnect:
            return Response(status_code=400)

    return answer


async def http_error(request: Request, error: Exception) -> Response:
    """Answers a request whose address or method does not exist, and names the list of them."""
    assert isinstance(error, HTTPException)
    said = f"{request.method} {request.url.path}: {error.detail}; /api lists what there is"
    return JSONResponse({"error": said}, error.status_code, error.headers)


async def failure(request: Request, error: Exception) -> Response:
    """Answers where something unexpected was raised, which the terminal shows."""
    said = f"{request.method} {request.url.path}: {type(error).__name__}; see the terminal"
    return JSONResponse({"error": said}, 500)


def download(path: Path, name: str, *, inline: bool = False) -> FileResponse:
    """Returns a file under a name."""
    kind = "inline" if inline else "attachment"
    sound = {".wav": "audio/wav", ".nam": "application/json"}.get(path.suffix)
    return FileResponse(path, media_type=sound, filename=name, content_disposition_type=kind)


class OpenFile(StreamingResponse):
    """An open file, which is closed when it was sent, or could not be."""

    def __init__(self, file: BinaryIO, media_type: str):
        """Sends all of it."""
        size = {"content-length": str(os.fstat(file.fileno()).st_size)}
        super().__init__(_blocks(file), media_type=media_type, headers=size)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        with self._file:
            await super().__call__(scope, receive, send)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block
