"""Machinery of `polyvec.dialects.ovms`."""
