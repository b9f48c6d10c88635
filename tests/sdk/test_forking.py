"""Processes forked from one whose threads are calling: pools of workers, as servers have them."""

import base64
import json
import subprocess
import sys

import pytest

from tests.conftest import RunningServer
from tests.sdk.conftest import options_of
from tests.sdk.forking import CHILDREN, KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_forked_while_other_threads_make_their_first_calls(
    server: RunningServer, kind: str
) -> None:
    options = options_of(server)
    if kind == "encrypted":
        options["encryption_master_key"] = base64.b64encode(b"m" * 32).decode()
    arguments = [kind, json.dumps(options)]

    found = subprocess.run(
        [sys.executable, "-m", "tests.sdk.forking", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == [0] * CHILDREN, found.stderr
