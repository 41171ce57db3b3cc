"""People and scripts: HTTP, the control socket, the command line."""
