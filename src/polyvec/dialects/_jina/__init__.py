"""Machinery of `polyvec.dialects.jina`."""
