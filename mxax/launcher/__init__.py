"""Starts, watches and ends the processes of an installation. Imports no Django: it stays small."""
