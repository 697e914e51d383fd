"""Examples of releases in use: one file for each way, to copy and change."""
