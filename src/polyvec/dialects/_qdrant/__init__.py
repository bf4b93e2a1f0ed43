"""Machinery of `polyvec.dialects.qdrant`."""
