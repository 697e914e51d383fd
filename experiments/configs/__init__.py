"""Run configurations: one typed dataclass each."""
