"""Answers the requests about dropped files."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from data_pipeline.synthetic_playing import BUILT_IN
from experiments.studio.answers import download
from experiments.studio.sources import Sources
from wf_jax.errors import UserError


class FileRequests:
    """The handlers of /files and the built-in DI."""

    def __init__(self, sources: Sources):
        """Answers about these files."""
        self._sources, self._files = sources, sources.files

    async def send(self, request: Request) -> Response:
        """POST /files: keeps a file, whose body is the request's."""
        name = request.query_params.get("name", "")
        kept = await self._files.keep(name, request.stream())
        return JSONResponse(kept.described(), 201)

    def list_files(self, request: Request) -> Response:
        """GET /files."""
        del request
        return JSONResponse({"files": [kept.described() for kept in self._files]})

    def content(self, request: Request) -> Response:
        """GET /files/{id}: the content of a file."""
        kept = self._files[request.path_params["id"]]
        return download(kept.path, kept.name, inline=True)

    def drop(self, request: Request) -> Response:
        """DELETE /files/{id}: unless a training needs it."""
        kept = self._files[request.path_params["id"]]
        user = self._sources.jobs.user_of(kept.id)
        if user is not None:
            raise UserError(f"{kept.name}: the training {user} needs it; stop that first")
        self._files.forget(kept.id)
        return JSONResponse({})

    async def built_in_di(self, request: Request) -> Response:
        """GET /built-in_di.wav: to be played through an amp."""
        del request
        return download(await self._sources.named(BUILT_IN), "built-in_di.wav")
