"""The common start of all commands, and their printed output."""
