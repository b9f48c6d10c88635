"""The code of ``docs/guide/sdk.md`` runs, from top to bottom, against the server."""

import re
from pathlib import Path
from typing import Any

import oyez
from tests.conftest import RunningServer

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "sdk.md"


def test_the_guide_runs(server: RunningServer) -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(blocks) >= 9
    code = "\n".join(blocks)
    for written, here in (
        ("127.0.0.1:6001", f"{server.host}:{server.port}"),
        ("6001", f"{server.port}"),
    ):
        code = code.replace(written, here)
    names: dict[str, Any] = {"__name__": "guide"}

    exec(compile(code, str(GUIDE), "exec"), names)

    assert names["receive"]({}, b"") == 401
    names["client"].close()
    names["sealed"].close()
    assert set(oyez.__all__) >= set(re.findall(r"oyez\.([A-Z]\w+)", GUIDE.read_text()))
