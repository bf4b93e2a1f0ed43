"""Tools around a model: importable functions, each with a subcommand of its own."""
