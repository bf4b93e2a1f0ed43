"""Machinery of `polyvec.dialects.voyage`."""
