"""Numbers of things in words."""


def counted(number: int, noun: str) -> str:
    """Writes a number of things: "1 step", "2,000 steps"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
