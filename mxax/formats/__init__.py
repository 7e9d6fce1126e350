"""How times and numbers are written: the same for everybody, as in logs and replies."""
