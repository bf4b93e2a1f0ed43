"""Machinery of `polyvec.dialects.sglang`."""
