"""Machinery of `polyvec.dialects.openai`."""
