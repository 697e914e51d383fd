"""Decoding by something else than `WaveFlow.decode`, in programs that contain it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp

# (z [B, h, W], c [B, h, W, D], mask [B, h, W] or None) -> x [B, h, W]
Decode = Callable[[jax.Array, jax.Array, jax.Array | None], jax.Array]

_decode: ContextVar[Decode | None] = ContextVar("decode", default=None)


def current_decode() -> Decode | None:
    """Returns what decodes in place of `WaveFlow.decode`; None where nothing does."""
    return _decode.get()


@contextmanager
def _decoded_by(decode: Decode) -> Iterator[None]:
    token = _decode.set(decode)
    try:
        yield
    finally:
        _decode.reset(token)


def halves(function: Callable[..., jax.Array]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Divides a function that decodes once into what is before it and what is after it.

    What both need is computed in both.

    Args:
        function: of any arguments.

    Returns:
        (arguments) -> what is to be decoded: z, c and mask; and (x, arguments) -> the result.
        Both compiled.
    """

    def before(*arguments: Any) -> tuple[jax.Array, jax.Array, jax.Array | None]:
        given = []

        def decode(*what: Any) -> jax.Array:
            given.append(what)
            return jnp.zeros_like(what[0])

        with _decoded_by(decode):
            function(*arguments)
        (one,) = given
        return one

    def after(x: jax.Array, *arguments: Any) -> jax.Array:
        with _decoded_by(lambda *_: x):
            return function(*arguments)

    return jax.jit(before), jax.jit(after)
