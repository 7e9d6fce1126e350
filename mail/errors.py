"""What broken input raises.

Expected refusals are values (a verdict, an outcome); these are for text that is not what it
claims to be. Messages never contain the input: they reach process logs, which hold no address.

    MailError
    ├── BadAddress               not a mailbox of RFC 5321, 4.1.2
    │   ├── BadDomain            the domain is no name that mail could have
    │   └── LocalPartTooLong     above 64 octets of local part, or 254 in total
    ├── BadRoutePattern          not a pattern of one domain's routes
    │   └── DuplicateRoute       two entries of one table are the same pattern
    ├── SrsError                 a return address that is not (or no longer) ours
    │   ├── SrsMalformed         has not the shape of our addresses
    │   ├── SrsForged            the right shape, a hash that we did not make
    │   └── SrsExpired           made by us, outside its days
    ├── BadSpfRecord             an SPF record (or a part of it) outside the grammar
    ├── BrokenSeal               a sealed row does not open with this token
    ├── TooManyAuthors           a From field with more names than anyone would read
    ├── BadSigningKey            no private key, of the wrong kind or too short
    └── BadTraceId               not one of our trace ids
"""


class MailError(Exception):
    """Any broken input that mail/ refuses."""


class BadAddress(MailError):
    """The text is not a mailbox."""


class BadDomain(BadAddress):
    """The text is not a domain that mail could be sent to."""


class LocalPartTooLong(BadAddress):
    """The address is above 64 octets of local part or 254 in total (RFC 5321, 4.5.3.1)."""


class BadRoutePattern(MailError):
    """The text is not a route pattern."""


class DuplicateRoute(BadRoutePattern):
    """Two routes of one domain have the same pattern after normalisation."""


class SrsError(MailError):
    """A rewritten address that cannot be reversed."""


class SrsMalformed(SrsError):
    """The address does not have the shape of one of ours."""


class SrsForged(SrsError):
    """The hash is not ours: the only one of the three that counts as a guess."""


class SrsExpired(SrsError):
    """The hash is ours, but the day is more than 30 days ago or not yet come."""


class BadSpfRecord(MailError):
    """The text is no SPF record of RFC 7208, 4.5 and 12."""


class BrokenSeal(MailError):
    """The sealed reverse-path was not sealed with this token, or was changed."""


class TooManyAuthors(MailError):
    """The author fields name so many foreign domains that reading them would be an attack."""


class BadSigningKey(MailError):
    """The octets are no private key of the algorithm that they are filed under."""


class BadTraceId(MailError):
    """The text is not a trace id."""
