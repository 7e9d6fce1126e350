"""The first page of a tenant: what needs somebody, what happened, what comes next."""
