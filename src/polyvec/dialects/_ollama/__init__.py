"""Machinery of `polyvec.dialects.ollama`."""
