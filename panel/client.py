"""The address of who asks."""

from tenants.clients import client_ip

__all__ = ["client_ip"]
