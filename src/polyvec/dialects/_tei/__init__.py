"""Machinery of `polyvec.dialects.tei`."""
