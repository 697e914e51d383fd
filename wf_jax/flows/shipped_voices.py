"""Voices that come with the package: a folder each, with a model and its card."""

from pathlib import Path

FOLDER = Path(__file__).parent / "voices"
DEFAULT = "kerstin"  # speaks where no model is named


def find_voice(name: str | Path) -> Path:
    """Returns the folder of a voice of the package; the path itself where that is none's name.

    A model or run of that name goes first; another folder, like the corpus of a voice, does not.
    """
    path = Path(name)
    inside = FOLDER / path
    is_name = len(path.parts) == 1 and not (path / "config.json").exists()
    return inside if is_name and (inside / "config.json").is_file() else path
