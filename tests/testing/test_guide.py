"""The guide to testing is true: each of its examples is run as a file of tests."""

import re
from pathlib import Path

import pytest

from tests.testing.conftest import ASYNCIO, Run

PAGE = (Path(__file__).parent.parent.parent / "docs/guide/testing.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("testing")]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_passes(run: Run, number: int) -> None:
    run(EXAMPLES[number], *ASYNCIO).assert_outcomes(passed=1)


def test_the_failure_it_shows_is_what_one_gets(run: Run) -> None:
    [shown] = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)

    found = run(
        """
        def test_it(oyez_server, oyez_client):
            oyez_client.trigger("orders", "order-paid", {"id": 17, "total": 20})
            oyez_server.assert_published("orders", "order-paid", data={"id": 17, "total": 25})
        """
    )

    printed = [re.sub(r"^E +", "", line).strip() for line in found.outlines]
    for line in shown.splitlines():
        assert re.sub(r"^E +", "", line).strip() in printed
