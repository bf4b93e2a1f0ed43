"""Machinery of `polyvec.dialects.vllm`."""
