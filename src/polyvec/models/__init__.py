"""One file per architecture: how it computes and what it declares. No runtime is imported here."""
