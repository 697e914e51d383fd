"""The gear in the metadata of a .nam file: NAM's keys and the values they may have."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from wf_jax.amps.nam_file import shown
from wf_jax.errors import UserError
from wf_jax.options import Choice, Number, Text, WrittenNumber, option, rule_of

GEAR_TYPES = ("amp", "pedal", "pedal_amp", "amp_cab", "amp_pedal_cab", "preamp", "studio")
TONE_TYPES = ("clean", "overdrive", "crunch", "hi_gain", "fuzz")
LEVELS = ("input_level_dbu", "output_level_dbu")
_LEVEL = Number(-100, 100, usual=12.2)  # dBu


@dataclasses.dataclass
class Gear:
    """A description of the gear in a .nam file; empty strings are written as null.

    Attributes:
        name: of the capture; the output file's name if empty.
        modeled_by: who made it.
        gear_make: maker of the amp.
        gear_model: its model.
        gear_type: amp, pedal, pedal_amp, amp_cab, amp_pedal_cab, preamp or studio.
        tone_type: clean, overdrive, crunch, hi_gain or fuzz.
        input_level_dbu: dBu of a 1 kHz sine at 0 dBFS peak, at the gear's input; "" if unknown.
        output_level_dbu: the same at the return.
    """

    name: str = option("", Text())
    modeled_by: str = option("", Text())
    gear_make: str = option("", Text())
    gear_model: str = option("", Text())
    gear_type: str = option("", Choice(GEAR_TYPES, optional=True))
    tone_type: str = option("", Choice(TONE_TYPES, optional=True))
    input_level_dbu: str = option("", WrittenNumber(_LEVEL, "a level in dBu"))
    output_level_dbu: str = option("", WrittenNumber(_LEVEL, "a level in dBu"))


USER_KEYS = tuple(field.name for field in dataclasses.fields(Gear))
_WITH_PEDAL = {"amp": "pedal_amp", "amp_cab": "amp_pedal_cab"}
_WITH_CABINET = {"amp": "amp_cab", "pedal_amp": "amp_pedal_cab", "preamp": "amp_cab"}


def of_chain(chain: Sequence[dict[str, Any]], cabinet: bool) -> dict[str, Any]:
    """Describes gear that is played in a row, from the metadata of each.

    The last names the gear; the level at the input is the first one's.

    Args:
        chain: metadata of .nam files, at least one.
        cabinet: whether an impulse response follows, behind which no output level is known.

    Returns:
        A value or None for each of USER_KEYS, as the files have them.
    """
    gear = {key: chain[-1].get(key) for key in USER_KEYS}
    gear["input_level_dbu"] = chain[0].get("input_level_dbu")
    if len(chain) > 1:
        names = [before.get("name") for before in chain]
        gear["name"] = " + ".join(names) if all(isinstance(name, str) for name in names) else None
        if chain[0].get("gear_type") == "pedal":
            gear["gear_type"] = _renamed(gear["gear_type"], _WITH_PEDAL)
    if cabinet:
        gear["gear_type"] = _renamed(gear["gear_type"], _WITH_CABINET)
        gear["output_level_dbu"] = None
    return gear


def _renamed(gear_type: Any, names: dict[str, str]) -> Any:
    return names.get(gear_type, gear_type) if isinstance(gear_type, str) else gear_type


def complete_gear(given: Any, before: dict[str, Any], source: str) -> dict[str, Any]:
    """Joins the user's part of a file's metadata: the given values, else those of another file.

    Args:
        given: has the fields of Gear, checked by `check_options`.
        before: the metadata of the model that the new one begins from; {} for none.
        source: the file of that model, for messages.

    Returns:
        A value for each of USER_KEYS: text, a level in dBu, or None.

    Raises:
        UserError: a value of `before` is used and is not one that NAM allows; one line.
    """
    return {
        field.name: _completed(field, getattr(given, field.name), before.get(field.name), source)
        for field in dataclasses.fields(Gear)
    }


def _completed(
    field: dataclasses.Field, given: str, before: Any, source: str
) -> str | float | None:
    is_level = field.name in LEVELS
    if given:
        return float(given) if is_level else given
    if before is None or before == "":
        return None
    if fault := _fault(field, before):
        raise UserError(
            f"{source}: metadata.{field.name} {shown(before)} {fault.partition('; ')[0]}; give "
            f"--config.metadata.{field.name}, or mend the file"
        )
    return float(before) if is_level else before


def _fault(field: dataclasses.Field, value: Any) -> str | None:
    """Says what is wrong with a value in a file, where levels are numbers."""
    is_level = field.name in LEVELS
    if not isinstance(value, int | float if is_level else str) or isinstance(value, bool):
        return f"is not a {'number' if is_level else 'string'}"
    rule = _LEVEL if is_level else rule_of(field)
    return rule.fault(value) if rule else None
