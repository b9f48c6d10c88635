"""Three nodes, a storm over them, and nothing that anybody may rely on broken.

``make chaos`` runs other seeds, and longer.
"""

from pathlib import Path

import pytest

from tests.chaos.report import describe
from tests.chaos.run import run
from tests.nats_server import nats_is_installed
from tests.redis_server import redis_is_installed

SEED, SECONDS, CLIENTS = 1, 60.0, 60


@pytest.mark.xdist_group("chaos")
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("redis", marks=redis_is_installed),
        pytest.param("nats", marks=nats_is_installed),
    ],
)
async def test_a_storm_leaves_nothing_wrong(engine: str, tmp_path: Path) -> None:
    verdict = await run(engine, SEED, SECONDS, CLIENTS, tmp_path)

    assert not verdict.differences, describe(verdict, CLIENTS, tmp_path)
    assert verdict.figures["deliveries"] > 1000
