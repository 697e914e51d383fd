"""Reads the flags of a main from its source: importing it may take seconds."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1]
COMMON = FOLDER / "terminal" / "start.py"  # whose flags every main has
# Flags of absl itself, for all mains; `--helpfull` describes them.
ABSL = {
    "alsologtostderr",
    "flagfile",
    "help",
    "helpfull",
    "helpshort",
    "helpxml",
    "log_dir",
    "logger_levels",
    "logtostderr",
    "only_check_args",
    "only_check_flags",
    "pdb",
    "pdb_post_mortem",
    "profile_file",
    "run_with_pdb",
    "run_with_profiling",
    "showprefixforinfo",
    "stderrthreshold",
    "undefok",
    "use_cprofile_for_profiling",
    "v",
    "verbosity",
}


class Flag(NamedTuple):
    """A flag of a main.

    Attributes:
        default: as text; "" where it is none, or no constant.
        meaning: as the main has it.
        is_switch: whether it takes no value.
    """

    default: str
    meaning: str
    is_switch: bool


def flags_of(main: str) -> dict[str, Flag]:
    """Returns the flags of a main by name; `main` is its name in `experiments`."""
    text = source_of(main).read_text(encoding="utf-8")
    common = COMMON.read_text(encoding="utf-8") if "import start" in text else ""
    return dict(_flags(text)) | dict(_flags(common))


def notes_of(main: str) -> str:
    """Returns a main's docstring without its first line and its examples for `python -m`."""
    doc = ast.get_docstring(ast.parse(source_of(main).read_text(encoding="utf-8"))) or ""
    paragraphs = doc.split("\n\n")[1:]
    return "\n\n".join(text for text in paragraphs if "python -m" not in text)


def source_of(main: str) -> Path:
    """Returns the file of a main."""
    path = FOLDER.joinpath(*main.split("."))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def _flags(text: str) -> Iterator[tuple[str, Flag]]:
    """Finds the statements that are calls like DEFINE_string("name", default, "meaning")."""
    for node in ast.parse(text).body:
        call = getattr(node, "value", None)
        if not isinstance(call, ast.Call) or len(call.args) < 3:
            continue
        function = getattr(call.func, "attr", "")
        name, default = (_constant(argument) for argument in call.args[:2])
        meaning = call.args[3 if function.endswith("enum") else 2]
        if isinstance(name, str):
            yield name, Flag(_written(default), _words(meaning), function.endswith("bool"))


def _constant(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:  # a name
        return None


def _written(default: object) -> str:
    if isinstance(default, list):
        return ",".join(map(str, default))
    return "" if default in (None, False) else str(default)


def _words(node: ast.expr) -> str:
    """Returns a literal text; parts that are computed become dots."""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            part.value if isinstance(part, ast.Constant) else "..." for part in node.values
        )
    return str(_constant(node) or "")
