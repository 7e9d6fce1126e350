"""Work for a tenant runs in his schema or not at all (queue canaries in each schema)."""

import random

import pytest
from celery import Celery, chain, group
from django.db import connection

from routing.models import Domain
from tenants.context import NoTenant, TenantTask, public_schema, tenant_schema
from tenants.names import schema_name_of
from tenants.services import delete_tenant

app = Celery("canaries", broker="memory://", set_as_current=False)
app.conf.update(task_always_eager=True, task_eager_propagates=True)


@app.task(base=TenantTask, name="canaries.read")
def read_canaries(*, tenant_id: int) -> list[str]:
    assert connection.schema_name == f"t{tenant_id}"
    return list(Domain.objects.values_list("name", flat=True))


@app.task(base=TenantTask, name="canaries.fail")
def fail(*, tenant_id: int) -> None:
    raise ValueError(tenant_id)


@app.task(base=TenantTask, bind=True, max_retries=1, name="canaries.retry")
def read_at_second_try(self, *, tenant_id: int) -> list[str]:
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    return list(Domain.objects.values_list("name", flat=True))


@pytest.fixture
def canaries(ada, mallory):
    ada.has_domain("ada-canary.example")
    mallory.has_domain("mallory-canary.example")
    return {
        ada.tenant.pk: ["ada-canary.example"],
        mallory.tenant.pk: ["mallory-canary.example"],
    }


@pytest.mark.django_db
@pytest.mark.parametrize(
    "wrong", [{}, {"tenant_id": None}, {"tenant_id": "1"}, {"tenant_id": True}]
)
def test_a_task_without_a_tenant_refuses(wrong):
    with pytest.raises((NoTenant, TypeError)):
        read_canaries.apply(kwargs=wrong).get()

    assert connection.schema_name == "public"


def test_a_task_for_a_deleted_tenant_refuses(ada):
    tenant_id = ada.tenant.pk
    delete_tenant(tenant=ada.tenant, typed="ada", actor="test")

    with pytest.raises(NoTenant, match="deleted"):
        read_canaries.apply(kwargs={"tenant_id": tenant_id}).get()


def test_a_task_started_inside_another_schema_opens_its_own(canaries):
    first, second = canaries
    with tenant_schema(first):
        seen = read_canaries.apply(kwargs={"tenant_id": second}).get()
        assert connection.schema_name == schema_name_of(first)

    assert seen == canaries[second]


def test_a_thousand_alternating_tasks_never_cross(canaries):
    order = random.Random(7).choices(list(canaries), k=1000)

    for number, tenant_id in enumerate(order):
        if number % 10 == 0:
            with pytest.raises(ValueError):
                fail.apply(kwargs={"tenant_id": tenant_id}).get()
        assert read_canaries.apply(kwargs={"tenant_id": tenant_id}).get() == canaries[tenant_id]

    assert connection.schema_name == "public"


def test_retries_groups_and_chains_keep_the_tenant(canaries):
    first, second = canaries

    assert (
        read_at_second_try.apply(kwargs={"tenant_id": second}, throw=False).get()
        == canaries[second]
    )
    both = group(read_canaries.si(tenant_id=first), read_canaries.si(tenant_id=second))
    assert both.apply().get() == [canaries[first], canaries[second]]
    linked = chain(read_canaries.si(tenant_id=first), read_canaries.si(tenant_id=second))
    assert linked.apply().get() == canaries[second]


@pytest.mark.parametrize("tenant_id", [0, -1, True, "1", "1; DROP SCHEMA public", None, 1.0])
def test_a_schema_name_is_made_of_a_number_only(tenant_id):
    with pytest.raises(ValueError):
        schema_name_of(tenant_id)


def test_public_inside_a_tenant_and_back(canaries):
    first, _ = canaries
    with tenant_schema(first):
        with public_schema():
            assert connection.schema_name == "public"
        assert list(Domain.objects.values_list("name", flat=True)) == canaries[first]
