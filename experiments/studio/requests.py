"""Reads what a request brings: JSON, forms, numbers."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request

from wf_jax.errors import UserError
from wf_jax.json_values import parse_json

LARGEST_JSON = 1_000_000  # bytes


async def read_object(request: Request) -> dict[str, Any]:
    """Reads an object of JSON; an empty body is an empty one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_JSON:
            raise UserError(f"more than {LARGEST_JSON:,} bytes of JSON; send files to /files")
    try:
        content = parse_json(body or b"{}")
    except ValueError as error:
        raise UserError(f"no JSON ({error}); see /api") from None
    if not isinstance(content, dict):
        raise UserError("no object of JSON; see /api")
    return content


@contextlib.asynccontextmanager
async def read_form(request: Request) -> AsyncIterator[FormData]:
    """Reads a form of files and values; the files go to the disk."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith(("multipart/form-data", "application/x-www-form-urlencoded")):
        raise UserError("send a form: multipart/form-data; see /api")
    try:
        form = await request.form(max_files=4, max_fields=16)
    except HTTPException as error:
        raise UserError(f"a damaged form ({error.detail}); see /api") from None
    try:
        yield form
    finally:
        await form.close()


def number_of(form: FormData, name: str, usual: float, most: float) -> float:
    """Returns a number of a form, from 0 to `most`."""
    text = str(form.get(name, usual))
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= most:
            return float(text)
    raise UserError(f"{name}={text[:40]}: give a number from 0 to {most:g}")


def budget_of(given: dict[str, Any], name: str) -> float:
    """Returns how many more minutes or steps are asked for; 0 for none."""
    value = given.get(name, 0)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e7:
        raise UserError(f"{name}={str(value)[:40]}: give a number of 0 or more")
    return value
