"""How late retention is; without Django, for the small metrics process."""

# A tenant that was never seen to has waited since it was made.
LAG = """
    SELECT extract(epoch FROM clock_timestamp()
               - coalesce(run.finished_at, tenant.created_at))::float AS seconds, tenant.slug
    FROM public.tenants_tenant tenant
    LEFT JOIN public.delivery_retentionrun run ON run.tenant_id = tenant.id
    WHERE tenant.schema_name <> 'public'
    ORDER BY seconds DESC LIMIT 1
"""
