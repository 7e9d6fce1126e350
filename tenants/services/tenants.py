"""Making, suspending and deleting tenants: each is one transaction, whole or not at all."""

from collections.abc import Iterable
from typing import Any

import structlog
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model
from psycopg.errors import LockNotAvailable

from tenants.audit import ERASED, Actor, erase_from_platform, record_in_tenant, record_platform
from tenants.changes import routes_changed
from tenants.context import public_schema, tenant_schema
from tenants.errors import NameTaken, NotConfirmed, TenancyError, UnknownName
from tenants.isolation import grant_schema
from tenants.models import Membership, Tenant, User
from tenants.names import check_slug, one_line, schema_name_of
from tenants.schema_models import (
    is_tenant_app,
    log_policy,
    shared_models_with_rows_of_tenants,
)
from tenants.services.powers import locked_tenant, powers_of_the_owner
from tenants.services.signins import forget_typed

log = structlog.get_logger()


def create_tenant(
    *, slug: str, owner_email: str, actor: Actor | str, password: str | None = None, name: str = ""
) -> Tenant:
    """A tenant with its schema, tables, grants, logging policy and owner.

    An owner who has an account already keeps it and its password. Raises `BadSlug`, `NameTaken`,
    ValidationError; then nothing is left, because PostgreSQL rolls back a schema too.
    """
    check_slug(slug)
    with public_schema(), transaction.atomic(), powers_of_the_owner():
        tenant = _insert(slug, one_line(name, "name"))
        owner = _owner(owner_email, password)
        Membership.objects.create(tenant=tenant, user=owner, role=Membership.Role.OWNER)
        _make_schema(tenant.schema_name)
        with tenant_schema(tenant.pk):
            log_policy()._base_manager.create()
            record_in_tenant("tenant.created", slug, actor=actor, new={"owner": owner.email})
        record_platform(
            "tenant.created", slug, actor=actor, tenant_slug=slug, new={"owner": owner.email}
        )
    log.info("tenant.created", tenant_id=tenant.pk)
    return tenant


def _insert(slug: str, name: str) -> Tenant:
    """The tenant's row; the id is taken first because the schema is named after it."""
    tenant_id = _next_id()
    tenant = Tenant(pk=tenant_id, schema_name=schema_name_of(tenant_id), slug=slug, name=name)
    tenant.full_clean(validate_unique=False)
    try:
        with transaction.atomic():
            tenant.save(force_insert=True)
    except IntegrityError:
        raise NameTaken(f"There is a tenant {slug} already: choose another slug.") from None
    return tenant


def _next_id() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('tenants_tenant', 'id'))")
        return int(cursor.fetchone()[0])


def _owner(email: str, password: str | None) -> User:
    if not email.strip().isprintable():
        # Django takes U+2028 in a domain, and the owner's address is a forward-path of ours.
        raise ValidationError("An e-mail address is one line of visible characters.")
    owner = User.objects.filter(email=email.strip().lower()).first()
    if owner is None:
        return User.objects.create_user(email, password)
    if password:
        raise ValidationError(
            f"{owner.email} has an account with a password already: leave the password out."
        )
    return owner


def _make_schema(schema_name: str) -> None:
    """Schema, tables and grants in the open transaction; leaves the shared schema open."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {connection.ops.quote_name(schema_name)}")
    _migrate(schema_name)
    grant_schema(schema_name)


def _migrate(schema_name: str) -> None:
    """The tables of the tenant's apps and nothing else.

    `migrate_schemas` would also go through every shared migration to do nothing, which takes three
    times as long; it finds nothing left to do here when it runs later.
    """
    tenant_apps = {config.label for config in apps.get_app_configs() if is_tenant_app(config)}
    # Without the shared schema on the path, or its table of migrations would be taken for ours.
    wrapper: Any = connection  # django-tenants' class, which Django's types do not know
    wrapper.set_schema(schema_name, include_public=False)
    try:
        MigrationRecorder(connection).ensure_schema()
        wrapper.set_schema(schema_name)
        executor = MigrationExecutor(connection)
        leaves = executor.loader.graph.leaf_nodes()
        executor.migrate([node for node in leaves if node[0] in tenant_apps])
    finally:
        wrapper.set_schema_to_public()


def suspend_tenant(
    *, tenant: Tenant, actor: Actor | str, for_abuse: bool, reason: str = ""
) -> None:
    """Stop a tenant's mail: 550 for abuse, 450 otherwise. Only an operator can lift it."""
    standing = Tenant.Standing.ABUSIVE if for_abuse else Tenant.Standing.SUSPENDED
    with public_schema(), transaction.atomic():
        set_standing(locked_tenant(tenant), standing, actor, reason=reason)
    tenant.standing, tenant.paused_by_owner = standing, False


def resume_tenant(*, tenant: Tenant, actor: Actor | str) -> None:
    """Let a suspended tenant's mail flow again."""
    with public_schema(), transaction.atomic():
        set_standing(locked_tenant(tenant), Tenant.Standing.ACTIVE, actor)
    tenant.standing, tenant.paused_by_owner = Tenant.Standing.ACTIVE, False


def set_standing(
    row: Tenant,
    standing: Tenant.Standing,
    actor: Actor | str,
    *,
    reason: str = "",
    by_owner: bool = False,
) -> None:
    """Write the standing of a locked tenant, tell both audits and the edges."""
    old = {"standing": row.standing}
    row.standing, row.paused_by_owner = standing, by_owner
    row.full_clean()
    row.save(update_fields=["standing", "paused_by_owner"])
    new = {"standing": standing.value, "reason": one_line(reason, "reason")}
    record_in_both("tenant.standing", row, actor, old=old, new=new)
    routes_changed()
    log.info("tenant.standing", tenant_id=row.pk, standing=standing.value)


def record_in_both(
    action: str, tenant: Tenant, actor: Actor | str, *, old: object = None, new: object = None
) -> None:
    """An entry in the tenant's chain, and one in the platform's."""
    slug = tenant.slug
    with tenant_schema(tenant.pk):
        record_in_tenant(action, slug, actor=actor, old=old, new=new)
    record_platform(action, slug, actor=actor, tenant_slug=slug, old=old, new=new)


def delete_tenant(*, tenant: Tenant, typed: str, actor: Actor | str) -> dict[str, int]:
    """Erase a tenant: schema, queue, content, events, claims, memberships. Gives rows per table.

    `typed` is the slug as the person typed it. What stays is a tombstone in the platform's audit,
    which names neither the tenant nor a person; what the audit said of him is erased. Accounts of
    people stay: they may belong to other tenants. Raises `NotConfirmed`.
    """
    if typed != tenant.slug:
        raise NotConfirmed(f"Nothing was deleted: confirm with the tenant's slug ({tenant.slug}).")
    with public_schema(), transaction.atomic(), powers_of_the_owner():
        row = _locked_whole(tenant)
        erased = _erase_shared_rows(row.pk, shared_models_with_rows_of_tenants())
        people = list(Membership.objects.filter(tenant=row).values_list("user_id", flat=True))
        forget_typed(users=people, below=f"/t/{row.slug}/")
        _drop_schema(row)
        # The schema is dropped above; django-tenants would look for it here.
        row.auto_drop_schema = False
        slug, tenant_id, pseudonym = row.slug, row.pk, row.schema_name
        row.delete()
        erased["tenants_platformauditentry"] = erase_from_platform(
            tenant_slug=slug, pseudonym=pseudonym
        )
        record_platform(
            ERASED, pseudonym, actor=_nameless(actor), tenant_slug=pseudonym, new=erased
        )
        routes_changed()
    log.info("tenant.deleted", tenant_id=tenant_id)
    return erased


def _nameless(actor: Actor | str) -> Actor | str:
    """Who deleted, without the address of a person of the tenant; an operator has his name."""
    by_person = isinstance(actor, Actor) and actor.user_id is not None
    return Actor("an owner") if by_person else actor


def _drop_schema(tenant: Tenant) -> None:
    """Raises `TenancyError` where a writer of the log does not let go of a table in time."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '10s'")
        # Tables with checks still waiting for the commit cannot be dropped.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        try:
            cursor.execute(f"DROP SCHEMA {connection.ops.quote_name(tenant.schema_name)} CASCADE")
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            raise TenancyError(
                f"Nothing was deleted: tables of {tenant.slug} are in use. Try again in a minute."
            ) from None


def _erase_shared_rows(tenant_id: int, models: Iterable[type[Model]]) -> dict[str, int]:
    """Delete the tenant's rows; what points to another of these tables goes before it."""
    waiting = set(models)
    erased = {}
    while waiting:
        free = {model for model in waiting if not _pointed_at(model, waiting - {model})}
        if not free:
            raise TenancyError("The queue's tables point at each other in a circle: cannot delete.")
        for model in free:
            rows = model._base_manager.filter(tenant_id=tenant_id)
            erased[model._meta.db_table] = rows._raw_delete(rows.db)
        waiting -= free
    return erased


def _pointed_at(model: type[Model], others: set[type[Model]]) -> bool:
    return any(
        field.remote_field is not None and field.remote_field.model is model
        for other in others
        for field in other._meta.concrete_fields
    )


def _locked_whole(tenant: Tenant) -> Tenant:
    """The row, locked against everything: what points at it goes too."""
    row: Tenant | None = Tenant.objects.select_for_update().filter(pk=tenant.pk).first()
    if row is None:
        raise UnknownName(f"The tenant {tenant.slug} is gone: it was deleted meanwhile.")
    return row
