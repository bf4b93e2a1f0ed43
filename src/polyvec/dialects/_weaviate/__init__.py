"""Machinery of `polyvec.dialects.weaviate`."""
