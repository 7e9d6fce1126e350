"""The two admin sites: shared models at `/admin/`, one tenant's models at `/admin/t/<slug>/`.

| module | holds |
|---|---|
| sites | the sites, who may enter, their own pages |
| signin | e-mail address, password and code on one page |
| base | model pages without script: read-only, or written through services |
| columns, paging, search | what lists show, how far they count, what people type |
| shared, people, queue, health | the models of the shared site |
| tenant, routes, trust, log, queue | those of a tenant's |
| domains | what is known of a domain and its records |
| forms | what staff may type, handed to services |
| pages | find, open access, mail to an address, the story of a message |
"""

from ops.admin import health, log, people, queue, routes, shared, tenant, trust
from ops.admin.sites import shared_site, tenant_site

__all__ = [
    "health",
    "log",
    "people",
    "queue",
    "routes",
    "shared",
    "shared_site",
    "tenant",
    "tenant_site",
    "trust",
]
