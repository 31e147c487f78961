"""One command of the CLI a file; each has a `register(app)`."""
