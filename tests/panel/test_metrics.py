"""The web process counts what it answers."""

import pytest
from prometheus_client import REGISTRY


@pytest.mark.django_db
def test_each_answer_is_counted_by_the_class_of_its_status(client):
    before = REGISTRY.get_sample_value("mxax_web_requests_total", {"status_class": "4xx"}) or 0

    client.get("/nothing-is-here/")

    after = REGISTRY.get_sample_value("mxax_web_requests_total", {"status_class": "4xx"})
    assert after == before + 1
