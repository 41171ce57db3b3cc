"""The deterministic simulator: the production Replica in a world made of one seed."""
