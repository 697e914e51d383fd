"""A run: its folder, options and settings, sweeps, and the table of several."""
