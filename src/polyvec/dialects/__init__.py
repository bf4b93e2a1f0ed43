"""One file per HTTP API: wire bytes ↔ requests and results, as pure functions."""
