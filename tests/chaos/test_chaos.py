"""Three nodes, a storm over them, and nothing that anybody may rely on broken.

``make test`` has a short storm, ``make soak`` a long one, and ``make chaos`` runs any seed.
"""

from pathlib import Path

import pytest

from tests.chaos.report import describe
from tests.chaos.run import run
from tests.nats_server import nats_is_installed
from tests.redis_server import redis_is_installed

SEED = 1


@pytest.mark.xdist_group("chaos")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("seconds", "clients"),
    [pytest.param(6.0, 30, id="short"), pytest.param(60.0, 60, id="long", marks=pytest.mark.soak)],
)
@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("redis", marks=redis_is_installed),
        pytest.param("nats", marks=nats_is_installed),
    ],
)
async def test_a_storm_leaves_nothing_wrong(
    engine: str, seconds: float, clients: int, tmp_path: Path
) -> None:
    verdict = await run(engine, SEED, seconds, clients, tmp_path)

    assert not verdict.differences, describe(verdict, clients, tmp_path)
    assert verdict.figures["deliveries"] > 100
