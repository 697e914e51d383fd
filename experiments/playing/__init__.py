"""Playing .nam models: files, and a guitar live."""
