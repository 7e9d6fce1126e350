"""The state of the whole installation, line by line; `manage.py doctor` prints it."""
