"""Where settings come from: defaults < config file < POLYVEC_* variables < flags, origins kept."""
