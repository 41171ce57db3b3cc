"""Docker: the proxy in front of its API, and what puts containers on the network when they start."""
