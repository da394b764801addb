"""The figures: names with a unit, few labels, none that grows with use, buckets that cover their stage."""

import re
from typing import Any

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from shared import metrics

pytestmark = pytest.mark.shell

FIGURES: dict[str, Any] = {name: getattr(metrics, name) for name in metrics.__all__ if name != "REGISTRY"}
FEW = {"service", "code", "what", "stage", "outcome", "kind", "reason", "engine"}
UNITS = ("_seconds", "_seconds_total", "_total", "_rtf", "_sessions", "_running", "_batch", "_replicas", "_level")


def test_every_figure_is_exported_by_the_module() -> None:
    defined = {name for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}
    assert set(FIGURES) == defined


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_a_name_with_its_unit_and_a_sentence(name: str) -> None:
    figure = FIGURES[name]
    (family,) = figure.collect()
    exported = family.name + ("_total" if isinstance(figure, Counter) else "")
    assert re.fullmatch("parley(_[a-z]+)+", exported)
    assert exported.endswith(UNITS)
    assert family.documentation.endswith(".")
    assert isinstance(figure, Counter | Gauge | Histogram)


@pytest.mark.parametrize("name", FIGURES)
def test_labels_have_few_values(name: str) -> None:
    assert set(FIGURES[name]._labelnames) <= FEW


@pytest.mark.parametrize("name", [name for name, figure in FIGURES.items() if isinstance(figure, Histogram)])
def test_buckets_rise(name: str) -> None:
    bounds = FIGURES[name]._kwargs["buckets"]
    assert list(bounds) == sorted(set(bounds))
    assert len(bounds) >= 10
