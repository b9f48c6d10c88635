"""What a run leaves behind: a table, JSON, an exit code, and a page for several servers."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from oyez.conformance import Report, SecondApps, main, matrix
from oyez.conformance.report import Outcome, Result, markdown
from tests.conftest import RunningServer


def result(id: str, outcome: Outcome, severity: str = "required", detail: str = "") -> Result:
    rule = f"The rule of {id} | `x`."
    return Result(id, rule, "http-api.md 2.3", "Pusher docs", severity, outcome, detail, 0.1)


OURS = Report(
    "ours",
    "http://127.0.0.1:6001",
    [
        result("http.a", "pass"),
        result("http.b", "skipped", detail="needs --slow"),
        result("ws.a", "fail", "recommended", "expected 1, got [2]"),
    ],
)
THEIRS = Report(
    "theirs",
    "http://127.0.0.1:6002",
    [result("http.a", "fail", detail="expected x, got y"), result("http.c", "pass")],
)


def test_only_a_required_check_breaks_conformance() -> None:
    assert OURS.conforms
    assert not THEIRS.conforms
    assert OURS.summary() == "1 passed, 0 required and 1 recommended failed, 1 skipped"


def test_the_table_names_every_check_with_what_is_wrong() -> None:
    text = io.StringIO()
    OURS.print(Console(file=text, width=160))
    for part in ("http.a", "http.b", "needs --slow", "ws.a", "expected 1, got [2]", OURS.summary()):
        assert part in text.getvalue()


def test_json_can_be_read_back() -> None:
    assert Report.parse(OURS.json()) == OURS


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"server":"x","url":"y","results":[{}]}'])
def test_other_files_are_no_reports(text: str) -> None:
    with pytest.raises(ValueError, match=r"report|Expecting"):
        Report.parse(text)


def test_the_page_has_a_column_for_each_server() -> None:
    page = markdown([OURS, THEIRS])

    assert "| check | rule | class | source | ours | theirs |" in page
    line = next(line for line in page.splitlines() if line.startswith("| `http.a`"))
    assert line.endswith("| yes | **no** |")
    assert "\\| `x`." in line
    assert "| `http.c` | " in page
    assert page.count("## http") == 1
    assert "### theirs\n\n- `http.a` (required): expected x, got y" in page
    assert "got \\[2]" in page


def test_names_of_one_run_are_not_in_the_page() -> None:
    detail = "expected event on private-conformance-0123abcd-12, got user-0123abcd-3 and marker-7"
    page = markdown([Report("ours", "", [result("http.a", "fail", detail=detail)])])
    assert "expected event on private-conformance-N, got user-N and marker-N" in page


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    for report in (OURS, THEIRS):
        (tmp_path / f"{report.server}.json").write_text(report.json())
    page = tmp_path / "page.md"

    matrix.main([str(page), str(tmp_path / "ours.json"), str(tmp_path / "theirs.json")])

    assert page.read_text() == markdown([OURS, THEIRS])


def check(server: RunningServer, only: str, json_output: Path | None = None) -> int:
    url = f"http://{server.host}:{server.port}"
    secret = server.secret
    return main(url, server.app_id, server.key, secret, only=only, json_output=json_output)


def test_a_good_server_ends_with_0(server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "report.json"

    assert check(server, "http.auth", file) == 0

    report = Report.parse(file.read_text())
    assert len(report.results) > 40
    assert {each.id.partition(".")[0] for each in report.results} == {"http"}


def test_a_failed_check_ends_with_1(server: RunningServer) -> None:
    url = f"http://{server.host}:{server.port}"
    assert main(url, server.app_id, server.key, "wrong", only="http.auth.accepted") == 1


def test_a_pattern_chooses_checks_and_no_check_ends_with_2(server: RunningServer) -> None:
    assert check(server, "*.established*") == 0
    assert check(server, "nothing") == 2


def test_credentials_have_three_parts() -> None:
    with pytest.raises(ValueError, match="APP_ID:KEY:SECRET"):
        SecondApps.parse(other="1002:key")
    assert SecondApps.parse(other="1:k:s:t", quota=None).given() == {"other"}
