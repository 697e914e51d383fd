"""The direction of imports: downwards, and nowhere in a circle."""

import graphlib

import pytest

from tests.imports import LEVELS, PROGRAM, ROOT, arrows, imported, level, picture, room


def test_every_room_has_a_level():
    rooms = {room(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in FILES}
    assert rooms == set().union(*LEVELS)


FILES = [
    path
    for name in ("wf_jax", "data_pipeline", "experiments")
    for path in (ROOT / name).rglob("*.py")
]


@pytest.mark.parametrize("arrow", arrows(), ids=lambda arrow: f"{arrow[0]} -> {arrow[1]}")
def test_no_arrow_points_upwards(arrow):
    assert level(arrow[0]) <= level(arrow[1]), arrows()[arrow]


def test_there_is_no_circle():
    graph: dict[str, set[str]] = {}
    for start, end in arrows():
        graph.setdefault(start, set()).add(end)
    graphlib.TopologicalSorter(graph).prepare()


def test_the_library_stands_alone():
    for path in {*(ROOT / "wf_jax").rglob("*.py")} - {PROGRAM}:
        assert not [name for name in imported(path) if not name.startswith("wf_jax")], path


def test_nothing_imports_the_program():
    assert not [path for path in FILES if "wf_jax.__main__" in [*imported(path)]]


def test_experiments_have_three_levels():
    assert sum(any(name.startswith("experiments") for name in rooms) for rooms in LEVELS) == 3


def test_the_picture_is_the_one_in_contributing():
    assert picture() in (ROOT / "CONTRIBUTING.md").read_text()
