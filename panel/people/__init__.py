"""Tenants and people: switching, members, invitations, settings of the tenant, its audit."""
