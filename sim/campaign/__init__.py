"""Campaigns: many seeds, run in many processes or on many machines, and what came of them."""
