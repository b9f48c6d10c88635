"""The public names, pinned: changing them is a decision."""

import importlib
import pkgutil

import pytest

import oyez


def test_the_package_offers_its_version() -> None:
    assert oyez.__all__ == ["__version__"]
    assert oyez.__version__.count(".") == 2


@pytest.mark.parametrize(
    "name",
    [
        module.name
        for module in pkgutil.walk_packages(oyez.__path__, "oyez.")
        if module.name != "oyez.__main__"
    ],
)
def test_every_module_says_what_it_offers_and_offers_it(name: str) -> None:
    module = importlib.import_module(name)

    assert module.__doc__
    for public in getattr(module, "__all__", []):
        assert hasattr(module, public), f"{name} does not have {public}"
