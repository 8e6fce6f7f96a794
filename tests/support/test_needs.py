"""What is missing here is skipped; where everything has to be there, it fails."""

from __future__ import annotations

import pytest

from tests.support.needs import missing


def test_what_is_missing_skips_here_and_fails_where_all_must_be_there(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        missing("no browser")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no browser"):
        missing("no browser")
