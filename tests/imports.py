"""Draws the imports between packages for CONTRIBUTING.md: python -m tests.imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("wf_jax", "data_pipeline", "experiments")
# Rooms by level: each may import those of the levels below, and of its own without a circle.
LEVELS = (
    {
        "experiments",
        "experiments/accelerator",
        "experiments/benchmarks",
        "experiments/comparison",
        "experiments/configs",
        "experiments/examples",
        "experiments/inspect",
        "experiments/onnx_export",
        "experiments/studio",
    },
    {
        "experiments/capture",
        "experiments/playing",
        "experiments/releases",
        "experiments/vocoder",
    },
    {"experiments/run", "experiments/report", "experiments/terminal"},
    {"data_pipeline", "wf_jax/export", "wf_jax/interop"},
    {"wf_jax/amps", "wf_jax/flows"},
    {"wf_jax/audio", "wf_jax/native", "wf_jax/training"},
    {"wf_jax"},
)


# The program: it starts the commands, and nothing imports it.
PROGRAM = ROOT / "wf_jax" / "__main__.py"


def room(module: str) -> str:
    """Returns the package of a module: "wf_jax/flows" of "wf_jax.flows.waveflow"."""
    first, *rest = module.split(".")
    inside = rest and (ROOT / first / rest[0]).is_dir()
    return f"{first}/{rest[0]}" if inside else first


def imported(path: Path) -> Iterator[str]:
    """Returns our modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in names if name and name.split(".")[0] in PACKAGES)


def arrows() -> dict[tuple[str, str], list[str]]:
    """Returns the imports between packages, from package to package."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        if path == PROGRAM:
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for name in imported(path):
            # The package itself: where it lies, or a name that it passes on.
            if name != "experiments" and room(name) != room(module):
                found.setdefault((room(module), room(name)), []).append(f"{module} -> {name}")
    return found


def level(name: str) -> int:
    """Returns the level of a package, from the top."""
    return next(i for i, rooms in enumerate(LEVELS) if name in rooms)


def picture() -> str:
    """Draws a diagram in Mermaid's notation: arrows to the next level, and within one."""
    lines = ["flowchart TD"]
    for number, rooms in enumerate(LEVELS):
        lines += [f"  subgraph level{number}[ ]"]
        lines += [f"    {name.replace('/', '_')}[{name}]" for name in sorted(rooms)]
        lines += ["  end"]
    for start, end in sorted(arrows()):
        if level(end) - level(start) <= 1:
            lines.append(f"  {start.replace('/', '_')} --> {end.replace('/', '_')}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(picture())
