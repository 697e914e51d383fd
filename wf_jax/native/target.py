"""The processor that code is written for: its vectors, its registers, and the tiles they allow.

A product is computed tile by tile, `rows` outputs times `vectors` stretches of time, whose sums
stay in registers. Each input is then loaded once for `rows` outputs and each weight once for
`vectors` stretches, which keeps loads below multiplications.
"""

import dataclasses
import itertools


@dataclasses.dataclass(frozen=True)
class Target:
    """A kind of processor.

    Attributes:
        triple: LLVM's name of architecture and system.
        cpu: LLVM's name of the model.
        features: LLVM's list of what it can do.
        lanes: float32 numbers in a vector.
        registers: vectors that it can hold.
        vectors: of time in a tile; blocks are computed in multiples of it. Two with AVX-512, since
            three or four would be 48 or 64 samples. With AVX2, A1 standard takes 30 us per block
            of 64 with 4 vectors and up to 3 rows, 32 with 2 and 4, 35 with 2 and 6.
    """

    triple: str
    cpu: str
    features: str
    lanes: int
    registers: int
    vectors: int

    @property
    def is_arm(self) -> bool:
        """True for a 64-bit ARM processor."""
        return _is_arm(self.triple)

    @property
    def unit(self) -> int:
        """Samples in a tile: computed though a block has fewer."""
        return self.lanes * self.vectors

    def tiles(self, rows: int, multiple: int = 1) -> list[tuple[int, int]]:
        """Divides `rows` outputs evenly: (start, stop) of each tile.

        Args:
            rows: outputs, or groups of outputs.
            multiple: outputs in a group.
        """
        # Sums fit into registers beside an input of each stretch of time, or beside their weights.
        most = max(1, (self.registers - 4) // self.vectors // multiple)
        count = -(-rows // most)
        ends = [rows * i // count for i in range(count + 1)]
        return list(itertools.pairwise(ends))


def target_of(triple: str, cpu: str, features: str) -> Target:
    """A processor by LLVM's names."""
    return (arm if _is_arm(triple) else x86)(triple, cpu, features)


def _is_arm(triple: str) -> bool:
    return triple.startswith(("aarch64", "arm64"))


def x86(triple: str, cpu: str, features: str) -> Target:
    """An x86 processor by its features."""
    words = set(features.split(","))
    if "+avx512f" in words and "+avx512vl" in words:
        return Target(triple, cpu, features, lanes=16, registers=32, vectors=2)
    if "+avx2" in words and "+fma" in words:
        return Target(triple, cpu, features, lanes=8, registers=16, vectors=4)
    return Target(triple, cpu, features, lanes=4, registers=16, vectors=4)


def arm(triple: str, cpu: str, features: str) -> Target:
    """A 64-bit ARM processor; all have NEON."""
    return Target(triple, cpu, features, lanes=4, registers=32, vectors=4)
