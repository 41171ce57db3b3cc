"""What the kernel should look like, and the steps that lead there."""
