"""What every command does first, and what it prints."""
