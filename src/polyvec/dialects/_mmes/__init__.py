"""Machinery of `polyvec.dialects.mmes`."""
