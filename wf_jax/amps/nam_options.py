"""Typed access to the `config` object of a .nam file; every complaint names key and expectation."""

from typing import TYPE_CHECKING, Any

from wf_jax.amps.nam_file import shown
from wf_jax.errors import UserError

if TYPE_CHECKING:
    from wf_jax.amps.activations import Activation

# Far above all that make sense.
LARGEST = 10_000_000  # of any size or dilation
MOST_CHANNELS = 2048  # a chunk of so many takes 64 MiB
LONGEST = 2048  # of any list of numbers but the weights
MOST_CELLS = 64  # of a recurrent model, which take 4 s to compile on two cores; 512, minutes


class Options:
    """Typed access to one JSON object; every complaint names the key and the expectation."""

    def __init__(self, values: Any, where: str):
        """Wraps `values`, the object called `where` in messages.

        Raises:
            UserError: values is not an object.
        """
        if not isinstance(values, dict):
            raise UserError(f"{where}: {shown(values)} is not an object")
        self.values, self.where = values, where

    def error(self, key: str, expectation: str) -> UserError:
        """Makes the error about the value of a key."""
        if key not in self.values:
            return UserError(f"{self.path(key)}: missing; it should be {expectation}")
        if self.values[key] == []:
            return UserError(f"{self.path(key)}: empty; it should be {expectation}")
        value = shown(self.values[key])
        return UserError(f"{self.path(key)}: {value} is not {expectation}")

    def present(self, key: str) -> bool:
        """Returns True if the key is there and not null."""
        return self.values.get(key) is not None

    def inner(self, key: str) -> "Options":
        """Returns the object under a key."""
        return Options(self.values.get(key), self.path(key))

    def integer(self, key: str, default: int | None = None, most: int = LARGEST) -> int:
        """Returns a positive integer."""
        value = self.values.get(key, default)
        if not _is_size(value, most):
            raise self.error(key, f"a positive integer up to {most:,}")
        return value

    def channels(self, key: str, default: int | None = None) -> int:
        """Returns a number of channels."""
        return self.integer(key, default, MOST_CHANNELS)

    def integers(self, key: str, most: int = LARGEST) -> tuple[int, ...]:
        """Returns a list of positive integers, at least one."""
        values = self.values.get(key)
        if not isinstance(values, list) or not values:
            raise self.error(key, "a list of positive integers")
        self._check_length(key, values)
        for i, value in enumerate(values):
            if not _is_size(value, most):
                raise UserError(
                    f"{self.path(key)}[{i}]: {shown(value)} is not a positive integer up to "
                    f"{most:,}"
                )
        return tuple(values)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        """Returns true or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Returns a finite number."""
        value = self.values.get(key, default)
        if not _is_number(value):
            raise self.error(key, "a number")
        return float(value)

    def choice(self, key: str, names: tuple[str, ...], default: str | None = None) -> str:
        """Returns one of some names."""
        value = self.values.get(key, default)
        if value not in names or not isinstance(value, str):
            raise self.error(key, f"one of {', '.join(names)}")
        return value

    def objects(self, key: str, what: str) -> list["Options"]:
        """Returns a list of objects, at least one."""
        values = self.values.get(key)
        if not isinstance(values, list) or not values:
            raise self.error(key, f"a list of {what}")
        return [Options(value, f"{self.path(key)}[{i}]") for i, value in enumerate(values)]

    def per_layer(self, key: str, layers: int) -> list["Options"]:
        """The value of every layer, given once or as a list; each under the key "value"."""
        value = self.values.get(key)
        values = value if isinstance(value, list) else [value] * layers
        if len(values) != layers:
            raise UserError(f"{self.path(key)}: {len(values)} values for {layers} layers")
        listed = isinstance(value, list)
        places = [f"{self.path(key)}[{i}]" if listed else self.path(key) for i in range(layers)]
        return [_Value(value, place) for value, place in zip(values, places, strict=True)]

    def activation(self, key: str) -> "Activation":
        """An activation: its name, or an object with its parameters."""
        from wf_jax.amps.activations import ACTIVATION_NAMES, PARAMETERS, Activation  # and JAX

        value = self.values.get(key)
        options = Options(value if isinstance(value, dict) else {"type": value}, self.path(key))
        name = options.values.get("type")
        if not isinstance(name, str) or name not in ACTIVATION_NAMES:
            raise UserError(
                f"{options.where}: {shown(name)} is not one of {', '.join(ACTIVATION_NAMES)}"
            )
        if name == "PReLU" and isinstance(options.values.get("negative_slopes"), list):
            slopes = options.values["negative_slopes"]
            options._check_length("negative_slopes", slopes)
            if not slopes or not all(map(_is_number, slopes)):
                raise options.error("negative_slopes", "a list of numbers")
            return Activation(name, negative_slopes=tuple(float(slope) for slope in slopes))
        parameters = PARAMETERS.get(name, {})
        return Activation(
            name, **{key: options.number(key, value) for key, value in parameters.items()}
        )

    def _check_length(self, key: str, values: list) -> None:
        if len(values) > LONGEST:
            raise UserError(
                f"{self.path(key)}: a list of {len(values):,}; {LONGEST:,} are the most"
            )

    def path(self, key: str) -> str:
        """Names a key in messages."""
        return f"{self.where}.{key}"


class Document(Options):
    """The object that a file holds; `where` is the file's name."""

    def path(self, key: str) -> str:
        """See Options.path."""
        return f"{self.where}: {key}"


class _Value(Options):
    """One value of a list, read like an option; messages name it by its position."""

    def __init__(self, value: Any, where: str):
        super().__init__({"value": value}, where)

    def error(self, key: str, expectation: str) -> UserError:
        return UserError(f"{self.where}: {shown(self.values[key])} is not {expectation}")

    def path(self, key: str) -> str:
        return self.where


def _is_size(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= 3.4e38  # a float32; NaN is not
