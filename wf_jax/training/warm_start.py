"""Starts a run from the parameters of another one."""

import numpy as np

from wf_jax.modules import Params

SHOWN = 3


def warm_start(
    params: Params, initial: Params, measured: tuple[str, ...] = ()
) -> tuple[Params, list[str]]:
    """Takes what fits in name and shape from `initial`.

    Args:
        params: of the model that begins.
        initial: of the other run.
        measured: beginnings of the names of arrays that are kept as they are in `params`.

    Returns:
        The parameters, and lines that list what was and was not taken.

    Raises:
        ValueError: nothing fits.
    """
    taken, others, fresh, own = {}, [], [], []
    for name, value in params.items():
        if name.startswith(measured):
            own.append(name)
        elif name not in initial:
            fresh.append(name)
        elif np.shape(initial[name]) != np.shape(value):
            here, there = (tuple(np.shape(v)) for v in (value, initial[name]))
            others.append(f"{name} {here} here, {there} there")
        else:
            taken[name] = np.asarray(initial[name], value.dtype)
    if not taken:
        example = (others or [f"{next(iter(params))} is not in it"])[0]
        raise ValueError(
            f"none of its {len(initial)} arrays fits this model: {example}; give a run or model of "
            "the same kind"
        )
    lines = [f"began from {len(taken)} of {len(params)} arrays"]
    unused = [name for name in initial if name not in params]
    lines += _listed("of another shape, not taken", others)
    lines += _listed("measured of this corpus, not taken", own)
    lines += _listed("not there, begun afresh", fresh)
    lines += _listed("there, but of no use here", unused)
    return params | taken, lines


def _listed(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"  {what}: {', '.join(names[:SHOWN])}{more}"]
