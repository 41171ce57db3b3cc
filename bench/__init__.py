"""Measurements and the demo: programs for people to run, never imported by the product."""
