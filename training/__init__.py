"""Trains the bundled demo checkpoint on generated scenes; not part of the installed package."""
