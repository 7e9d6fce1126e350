"""Pages of a tenant's domains: the wizard, what each should publish, its keys, its end."""
