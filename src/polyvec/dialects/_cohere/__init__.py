"""Machinery of `polyvec.dialects.cohere`."""
