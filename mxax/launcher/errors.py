"""What stops a start: one line that says what to do."""


class StartError(Exception):
    """The service cannot start; the text is one line with the cure."""


class StopAsked(Exception):
    """A signal asked us to end while something was under way."""
