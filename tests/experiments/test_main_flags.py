"""The flags of mains, read from their sources."""

import importlib
import runpy
import types

import absl
import ml_collections.config_flags
import pytest
from absl import flags

from experiments.terminal.main_flags import ABSL, flags_of, source_of
from experiments.terminal.words import WORDS
from tests.imports import imported


@pytest.fixture
def defined(monkeypatch):
    """Returns a function that runs a main and lists the flags it defines, in absl's place."""

    def run(main):
        made = {}

        def recorder(function):
            def define(name, default, *others, **_):
                made[name] = function, default, others[function.endswith("enum")]

            return define

        path = source_of(main)
        for module in imported(path):  # those that define flags do it as ever
            importlib.import_module(module)

        class Recording(types.ModuleType):
            def __getattr__(self, function):
                return recorder(function)

        with monkeypatch.context() as patch:
            patch.setattr(absl, "flags", Recording("flags"))
            patch.setattr(ml_collections, "config_flags", Recording("config_flags"))
            runpy.run_path(str(path), run_name="read")
        return made

    return run


@pytest.mark.parametrize("main", sorted({word.main for word in WORDS.values()}))
def test_flags_are_read_as_the_main_defines_them(main, defined):
    read = flags_of(main)
    common = set() if main == "terminal.completion" else {"programs"}  # it needs no absl
    made = defined(main)
    assert set(read) == set(made) | common
    for name, (function, default, meaning) in made.items():
        assert read[name].is_switch == (function == "DEFINE_bool"), name
        pieces = read[name].meaning.split("...")
        at = [meaning.find(piece) for piece in pieces]
        assert -1 not in at, name
        assert at == sorted(at), name
        listed = ",".join(map(str, default)) if isinstance(default, list) else str(default)
        assert read[name].default in ("", listed), name


def test_flags_of_absl_are_all_known():
    modules = flags.FLAGS.flags_by_module_dict()
    own = {f.name for module, found in modules.items() if module.startswith("absl") for f in found}
    assert own <= ABSL
    assert "verbosity" in own
