"""Frames to neighbours over UDP in user space, by a process of its own."""
