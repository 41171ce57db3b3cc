"""The world: network, disk, containers, people."""
