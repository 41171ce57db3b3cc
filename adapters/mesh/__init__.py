"""Bytes on wires."""
