"""Typed access to the `config` object of a .nam file; every complaint names key and expectation."""

from typing import Any

from wf_jax.amps.layers import ACTIVATION_NAMES, Activation
from wf_jax.amps.nam_file import NamFileError


class Options:
    """Typed access to one JSON object; every complaint names the key and the expectation."""

    def __init__(self, values: Any, where: str):
        """Options `values` of the object called `where` in messages."""
        if not isinstance(values, dict):
            raise NamFileError(f"{where}: expected an object")
        self.values, self.where = values, where

    def integer(self, key: str, default: int | None = None) -> int:
        """A positive integer."""
        return self._integer(self.values.get(key, default), key)

    def integers(self, key: str) -> tuple[int, ...]:
        """A list of positive integers, at least one."""
        values = self.values.get(key)
        if not isinstance(values, list) or not values:
            raise NamFileError(f"{self.where}.{key}: expected a list of positive integers")
        return tuple(self._integer(value, f"{key}[{i}]") for i, value in enumerate(values))

    def boolean(self, key: str) -> bool:
        """True or false."""
        value = self.values.get(key)
        if not isinstance(value, bool):
            raise NamFileError(f"{self.where}.{key}: {value!r} is not true or false")
        return value

    def number(self, key: str) -> float:
        """Any number."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NamFileError(f"{self.where}.{key}: {value!r} is not a number")
        return float(value)

    def per_layer(self, key: str, default: Any, layers: int) -> list[Any]:
        """A value for every layer: given once, or as a list."""
        value = self.values.get(key)
        value = default if value is None else value
        values = value if isinstance(value, list) else [value] * layers
        if len(values) != layers:
            raise NamFileError(f"{self.where}.{key}: {len(values)} values for {layers} layers")
        return values

    def kernel_sizes(self, layers: int) -> tuple[int, ...]:
        """`kernel_size` for all layers, or `kernel_sizes`, one each."""
        if ("kernel_size" in self.values) == ("kernel_sizes" in self.values):
            raise NamFileError(f"{self.where}: expected either kernel_size or kernel_sizes")
        if "kernel_size" in self.values:
            return (self.integer("kernel_size"),) * layers
        sizes = self.integers("kernel_sizes")
        self.per_layer("kernel_sizes", None, layers)  # for its length check
        return sizes

    def activations(self, layers: int) -> tuple[Activation, ...]:
        """One per layer."""
        values = self.per_layer("activation", None, layers)
        return tuple(self._activation(value) for value in values)

    def head(self) -> "Options":
        """The head convolution: its own object, or the older head_size and head_bias."""
        if self.values.get("head") is not None:
            return Options(self.values["head"], f"{self.where}.head")
        head = {"out_channels": self.values.get("head_size"), "bias": self.values.get("head_bias")}
        return Options(head, f"{self.where}.head")

    def refuse_unless_absent(self, *keys: str) -> None:
        """Complains of options that are not supported, unless absent or null."""
        for key in keys:
            if self.values.get(key) is not None:
                raise NamFileError(f"{self.where}.{key}: this option is not supported yet")

    def refuse_unless(self, key: str, only: Any) -> None:
        """Complains of a value other than the one that is supported."""
        if self.values.get(key, only) not in (only, None):
            raise NamFileError(
                f"{self.where}.{key}: {self.values[key]!r} is not supported yet, only {only!r}"
            )

    def refuse_if_active(self, key: str, *, active_by_default: bool) -> None:
        """Complains of an option object that is switched on."""
        value = self.values.get(key)
        if isinstance(value, dict) and value.get("active", active_by_default):
            raise NamFileError(f"{self.where}.{key}: this option is not supported yet")

    def check_layer1x1(self) -> None:
        """Complains of a layer1x1 that is switched off or grouped."""
        value = self.values.get("layer1x1") or {"active": True, "groups": 1}
        if value != {"active": True, "groups": 1}:
            raise NamFileError(f"{self.where}.layer1x1: {value} is not supported yet")

    def _activation(self, value: Any) -> Activation:
        options = value if isinstance(value, dict) else {"type": value}
        name = options.get("type")
        if name not in ACTIVATION_NAMES:
            raise NamFileError(f"{self.where}.activation: {name!r} is not supported yet")
        slope = Options({"negative_slope": 0.01, **options}, f"{self.where}.activation")
        return Activation(name, slope.number("negative_slope"))

    def _integer(self, value: Any, key: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
            raise NamFileError(f"{self.where}.{key}: {value!r} is not a positive integer")
        return value
