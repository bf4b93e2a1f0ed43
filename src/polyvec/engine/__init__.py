"""Inputs → vectors: prepare, cache, schedule, run, postprocess."""
