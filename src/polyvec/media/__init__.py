"""What callers point at → pixels. The only package that imports an image library."""
