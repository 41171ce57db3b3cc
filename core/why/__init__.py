"""Why things are as they are: facts walked backwards."""
