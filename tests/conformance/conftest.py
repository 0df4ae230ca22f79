"""Tables and models shared by all tests in this folder."""

from collections.abc import Iterator

import pytest
from rich_table import Transformed

from tests.conformance import houses
from tests.conformance.lab import Lab
from tests.conformance.scorer import Scorer


@pytest.fixture(scope="session")
def scorer() -> Iterator[Scorer]:
    """Yields a scorer of exported models, which runs in another process."""
    scorer = Scorer()
    yield scorer
    scorer.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory, scorer) -> Lab:
    """Returns a lab that trains each model once."""
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="session")
def regression(once) -> Transformed:
    """Returns a table with all kinds of columns and a price to predict."""
    return once("houses", lambda folder: houses.table(folder, "price", eval_rows=1600))


@pytest.fixture(scope="session")
def binary(once) -> Transformed:
    """Returns a table with the same columns and a label that is yes or no."""
    return once("dear_houses", lambda folder: houses.table(folder, "dear"))


@pytest.fixture(scope="session")
def multiclass(once) -> Transformed:
    """Returns a table with one of three numbers as label, which sort differently as text."""
    return once("graded_houses", lambda folder: houses.table(folder, "grade"))


@pytest.fixture(scope="session")
def several(once) -> Transformed:
    """Returns a table with all three labels; 60 % of the rows are wrong and have weight zero."""
    return once(
        "several_labels",
        lambda folder: houses.table(folder, "dear", "price", "grade", weighted=True),
    )
