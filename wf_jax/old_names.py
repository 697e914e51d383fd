"""Reads files of earlier versions: settings under their old names become those of today."""

from typing import Any

_MEL = {
    "bands": "n_mels",
    "low_hz": "f_min",
    "high_hz": "f_max",
    "hop": "hop_length",
    "fft_size": "n_fft",
    "window_length": "win_length",
    "peak_normalise": "peak_normalize",
}
_TRAIN = {"dequantise": "dequantize"}
_FLAT = {
    f"{table}.{old}": f"{table}.{new}"
    for table, names in {"mel": _MEL, "train": _TRAIN}.items()
    for old, new in names.items()
}


def current_names(content: Any) -> Any:
    """Returns the JSON of a config, a model or a release with the names of today.

    Mel settings are the table "mel", which may stand in "model" or "vocoder", or flat names like
    "mel.hop"; options of training likewise in "train". A file with the old and the new name of a
    setting keeps both, so that it is refused.

    Args:
        content: what the file holds; anything but a table is returned as it is.
    """
    if not isinstance(content, dict):
        return content
    found = {}
    for name, value in content.items():
        if name == "mel":
            value = _renamed(value, _MEL)
        elif name == "train":
            value = _renamed(value, _TRAIN)
        elif name in ("model", "vocoder") and isinstance(value, dict) and "mel" in value:
            value = value | {"mel": _renamed(value["mel"], _MEL)}
        found[name] = value
    return _renamed(found, _FLAT)


def _renamed(table: Any, names: dict[str, str]) -> Any:
    if not isinstance(table, dict):
        return table
    return {
        name if names.get(name, name) in table else names.get(name, name): value
        for name, value in table.items()
    }
