"""Studio: a local page, and an HTTP interface, over the functions and commands of this project."""
