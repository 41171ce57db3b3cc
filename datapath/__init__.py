"""The kernel: drivers that observe and change it. No policy lives here."""
