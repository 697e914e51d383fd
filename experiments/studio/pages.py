"""The files of the page, by their addresses; nothing else is read."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from experiments.report.listening import SCRIPT
from experiments.report.style import STYLE

STATIC = Path(__file__).parent / "static"


def page_routes() -> Iterator[Route]:
    """Yields the routes of the page: its own files, and what it shares with reports."""
    yield from (Route(path, _file(file)) for path, file in _files().items())
    styles = STYLE + (STATIC / "studio.css").read_text(encoding="utf-8")
    yield Route("/style.css", _text(styles, "text/css"))
    yield Route("/listening.js", _text(SCRIPT, "text/javascript"))


def _files() -> dict[str, Path]:
    """Returns the files of the page by their addresses."""
    found = {f"/{path.name}": path for path in sorted(STATIC.iterdir())}
    return found | {"/": STATIC / "index.html", "/api": STATIC / "api.html"}


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def static(request: Request) -> Response:
        del request
        return FileResponse(path)

    return static


def _text(content: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def text(request: Request) -> Response:
        del request
        return Response(content, media_type=kind)

    return text
