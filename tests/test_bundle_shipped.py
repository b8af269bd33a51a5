"""Facts about the bundles that come with the package."""

import pytest

from graftscope.bundle import BundleNotFoundError, find_shipped, read_bundle, shipped


def test_every_shipped_bundle_is_whole_and_named_after_its_folder() -> None:
    for name, folder in shipped().items():
        assert read_bundle(folder).manifest.name == name
        assert find_shipped(name) == folder


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    known = ", ".join(shipped()) or "none"
    with pytest.raises(BundleNotFoundError, match=f"no bundle 'nine' .* there are: {known}"):
        find_shipped("nine")
