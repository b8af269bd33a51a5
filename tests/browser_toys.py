"""What tests that look at pages in a browser share; they are skipped where there is no Chromium."""

import pytest

from benchmarks.browser import CHROMIUM, Browser, browser

__all__ = ["Browser", "browser", "with_chromium"]

with_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
