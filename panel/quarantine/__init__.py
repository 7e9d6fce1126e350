"""Mail that the tenant's policy does not trust: looked at, released or deleted."""
