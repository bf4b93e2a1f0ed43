"""Machinery of `polyvec.dialects.kserve`."""
