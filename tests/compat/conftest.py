"""One installation for all the clients of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.compat.installation import Matrix, matrix_in

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    with matrix_in(tmp_path_factory.mktemp("matrix")) as made:
        yield made
