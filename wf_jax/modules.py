"""A module as two halves: a static definition and a flat dict of named arrays.

The dict is the train state, the checkpoint, the export and the interop format; its names read
like `arrays/0/layers/3/conv/kernel`.
"""

import dataclasses
from typing import Any

import jax

Params = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Definition:
    """The static half of a module: rebuilds it from a flat dict of arrays.

    Hashable, and equal for equal structures, so it may be closed over or be a static argument.
    """

    names: tuple[str, ...]
    treedef: Any

    def __call__(self, params: Params) -> Any:
        """Returns the module with `params` as its arrays (any leading axes: vmap slices them)."""
        return self.treedef.unflatten([params[name] for name in self.names])


def split(module: Any) -> tuple[Definition, Params]:
    """Takes a module apart; `definition(params)` puts it together again.

    Works on the result of `jax.eval_shape` too: the dict then holds shapes.
    """
    leaves, treedef = jax.tree_util.tree_flatten_with_path(module)
    names = tuple(
        jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/value")
        for path, _ in leaves
    )
    return Definition(names, treedef), dict(zip(names, (leaf for _, leaf in leaves), strict=True))
