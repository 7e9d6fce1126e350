"""What services of tenants and routing raise when a person asks for something that cannot be.

The text is one line for that person, and names the cure; forms turn it into a field error, commands
print it.

    TenancyError
    ├── UnknownName          no such tenant, domain, route or credential
    ├── BadSlug              a slug that cannot be one
    ├── NameTaken            it is there already
    ├── NotClaimable         a domain that nobody, or only an operator, may claim
    ├── AlreadyVerified      another tenant has proved the domain
    ├── RouteRefused         a pattern or cycle that cannot be saved
    │   ├── DestinationRefused   a destination that cannot be one, or takes no mail
    │   └── ExpiryRefused        an end that is over already, or too far off
    ├── NotAllowed           who asks may not do this in this tenant
    ├── LastOwner            a tenant would be left without an owner
    ├── InvitationRefused    nobody can be invited like this, or the link works no more
    ├── AccountRefused       an account that cannot be made, changed or deleted like this
    │   ├── WrongCode            a code that is wrong, or was used already
    │   └── LinkGone             a link of account mail that works no more
    ├── NoPowers             this process may not do what only the owner of the tables may
    ├── TooBusy              heavy work is going on already
    ├── PolicyRefused        days or a level that cannot be kept to
    └── NotConfirmed         a deletion without the name typed
"""


class TenancyError(Exception):
    """A request that is refused; the text says why and what to do."""


class UnknownName(TenancyError):
    """What was named does not exist."""


class BadSlug(TenancyError):
    """The text cannot be a slug."""


class NameTaken(TenancyError):
    """There is one of this name already."""


class NotClaimable(TenancyError):
    """The domain cannot be claimed."""


class AlreadyVerified(TenancyError):
    """Another tenant has proved the domain: the database let exactly one through."""


class RouteRefused(TenancyError):
    """The route cannot be saved."""


class ExpiryRefused(RouteRefused):
    """The day on which a route ends cannot be one."""


class DestinationRefused(RouteRefused):
    """The destinations of the route are what is wrong with it."""


class NotConfirmed(TenancyError):
    """What cannot be undone was asked for without the name typed."""


class NotAllowed(TenancyError):
    """The person who asks may not do this: not a member, or not in a role that may."""


class LastOwner(TenancyError):
    """The tenant would be left without an owner."""


class InvitationRefused(TenancyError):
    """The invitation cannot be made, or cannot be accepted any more."""


class AccountRefused(TenancyError):
    """The account cannot be made, changed or deleted like this."""


class WrongCode(AccountRefused):
    """The code is wrong, or was used already."""


class LinkGone(AccountRefused):
    """The link is not ours, too old, or was used."""


class NoPowers(TenancyError):
    """Only the operator can do it on this installation."""


class TooBusy(TenancyError):
    """As much heavy work is going on as there may be: nothing was begun."""


class PolicyRefused(TenancyError):
    """Logging preferences that cannot be."""
