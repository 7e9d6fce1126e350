"""What we do with mail, as ordered tables of small pure rules."""
