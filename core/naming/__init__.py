"""What a name answers."""
