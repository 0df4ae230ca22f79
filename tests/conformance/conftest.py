"""Tables and models that all tests of this folder share."""

from collections.abc import Iterator

import pytest

from tests.conformance import houses
from tests.conformance.lab import Lab
from tests.conformance.scorer import Scorer
from tests.unit.models.rich_table import Transformed


@pytest.fixture(scope="session")
def scorer() -> Iterator[Scorer]:
    """Answers by exported models, in another process."""
    scorer = Scorer()
    yield scorer
    scorer.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory, scorer) -> Lab:
    """Trains models, each once."""
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="session")
def regression(tmp_path_factory) -> Transformed:
    """All kinds of columns, and a price to predict."""
    return houses.table(tmp_path_factory.mktemp("regression"), "price", eval_rows=3200)


@pytest.fixture(scope="session")
def binary(tmp_path_factory) -> Transformed:
    """The same, and yes or no."""
    return houses.table(tmp_path_factory.mktemp("binary"), "dear")


@pytest.fixture(scope="session")
def multiclass(tmp_path_factory) -> Transformed:
    """The same, and one of three numbers, whose order as text is another."""
    return houses.table(tmp_path_factory.mktemp("multiclass"), "grade")


@pytest.fixture(scope="session")
def several(tmp_path_factory) -> Transformed:
    """All three labels at once; 60 % of the rows are wrong and weigh nothing."""
    folder = tmp_path_factory.mktemp("several")
    return houses.table(folder, "dear", "price", "grade", weighted=True)
