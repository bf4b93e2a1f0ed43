"""polyvec: one server for embeddings of text and images."""

__version__ = "0.1.0"
