"""Performs actions, a topic a file: each has a table of performers and a `calm` that ends its trouble."""
