"""The replicated state: facts, streams and the one store whose `join` is the only merge. Pure data structures."""
