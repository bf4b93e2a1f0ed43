"""Machinery of `polyvec.dialects.infinity`."""
