"""Chooses what goes wrong, a topic a file: each has a table of kinds of trouble."""
