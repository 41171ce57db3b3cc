"""Draws a story: lanes over virtual time, as SVG and as a page that needs nothing else."""
