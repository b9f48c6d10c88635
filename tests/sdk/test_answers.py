"""What an answer says about when to come back."""

import pytest

from oyez.sdk.answers import retry_seconds

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "120"}, 120),
        ({"retry-after": " 7 "}, 7),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30),
        ({"retry-after": "Friday, 15-Jan-27 08:00:30 GMT"}, 30),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0),
        (  # the clock of the server, where it tells the time
            {
                "retry-after": "Fri, 15 Jan 2027 09:00:05 GMT",
                "date": "Fri, 15 Jan 2027 09:00:00 GMT",
            },
            5,
        ),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "\u0661"}, None),
        ({"retry-after": "Fri, 99 Jan 2027 08:00:30 GMT"}, None),
        ({"retry-after": "9" * 5000}, 999_999_999_999),
    ],
)
def test_a_pause_is_a_number_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_seconds(headers, NOW) == seconds
