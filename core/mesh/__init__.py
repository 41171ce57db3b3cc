"""Who is there, and how a frame gets there."""
