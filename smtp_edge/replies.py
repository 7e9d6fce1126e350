"""Replies of the dialog itself; those about recipients and messages come from the policies."""

from typing import Final

from mail.reply import Reply

OK: Final = Reply(250, (0, 0), "Ok")
REVERSE_PATH_OK: Final = Reply(250, (1, 0), "Reverse-path ok")
GO_AHEAD: Final = Reply(354, None, "End data with <CR><LF>.<CR><LF>")
START_TLS: Final = Reply(220, (0, 0), "Ready to start TLS")
GOODBYE: Final = Reply(221, (0, 0), "Goodbye")
HELP: Final = Reply(214, (0, 0), "See RFC 5321")
NOT_VERIFIED: Final = Reply(252, (5, 2), "Send some mail and see")
NOT_EXPANDED: Final = Reply(502, (5, 1), "Lists are not told")

BAD_LINE: Final = Reply(500, (5, 2), "Command line not understood")
LINE_TOO_LONG: Final = Reply(500, (5, 2), "Command line too long")
UNKNOWN_COMMAND: Final = Reply(500, (5, 1), "Command unknown")
NO_ARGUMENT: Final = Reply(501, (5, 4), "This command takes no argument")
HELO_SYNTAX: Final = Reply(501, (5, 4), "Name yourself: EHLO hostname")
MAIL_SYNTAX: Final = Reply(501, (5, 4), "Syntax: MAIL FROM:<address>")
RCPT_SYNTAX: Final = Reply(501, (5, 4), "Syntax: RCPT TO:<address>")
NULL_RECIPIENT: Final = Reply(501, (1, 3), "The null path receives no mail")
BAD_PARAMETER: Final = Reply(501, (5, 4), "Parameter not understood")
UNKNOWN_PARAMETER: Final = Reply(555, (5, 4), "Parameter not known here")
BAD_REVERSE_PATH: Final = Reply(553, (1, 7), "Reverse-path is not an address")
NEEDS_SMTPUTF8: Final = Reply(553, (6, 7), "Addresses beyond ASCII need SMTPUTF8")
HELO_FIRST: Final = Reply(503, (5, 1), "Say EHLO first")
MAIL_FIRST: Final = Reply(503, (5, 1), "Say MAIL first")
NESTED_MAIL: Final = Reply(503, (5, 1), "A transaction is open already")
RCPT_FIRST: Final = Reply(503, (5, 1), "Say RCPT first")
NO_RECIPIENTS: Final = Reply(554, (5, 1), "No valid recipients")
NO_AUTH_HERE: Final = Reply(503, (5, 1), "Submission is on another port")
TLS_ACTIVE: Final = Reply(503, (5, 1), "TLS is active already")
TLS_AWAY: Final = Reply(454, (7, 0), "TLS is not available at the moment")
TLS_PIPELINED: Final = Reply(554, (5, 0), "Nothing may follow STARTTLS in clear text")

TOO_MANY_RECIPIENTS: Final = Reply(452, (5, 3), "Too many recipients, send the rest separately")
MESSAGE_TOO_LARGE: Final = Reply(552, (3, 4), "Message is larger than we take")
STRAY_LINE_ENDS: Final = Reply(550, (5, 2), "CR, LF or NUL on its own: lines end in CRLF")

TOO_MANY_CONNECTIONS: Final = Reply(421, (7, 0), "Too many connections from your address")
SERVER_FULL: Final = Reply(421, (3, 2), "All lines are busy, try again later")
SHUTTING_DOWN: Final = Reply(421, (3, 2), "Going down for a moment, try again")
IDLE: Final = Reply(421, (4, 2), "Waited too long for you")
TOO_SLOW: Final = Reply(421, (4, 2), "This takes too long")
TOO_MANY_ERRORS: Final = Reply(421, (7, 0), "Too many errors")
TOO_MUCH_JUNK: Final = Reply(421, (7, 0), "Too many commands without mail")
TOO_MANY_GUESSES: Final = Reply(421, (7, 0), "Too many guesses")
