"""What fields mean, as the documentation has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from peekaping.api import field_docs
from peekaping.api.field_docs import meanings


def test_a_field_means_what_the_table_of_its_kind_says() -> None:
    assert meanings("monitors", "push")["grace"] == "how late a push may be"


def test_a_copy_without_the_documentation_says_nothing_and_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(field_docs, "DOCS", tmp_path)
    field_docs._sections.cache_clear()
    assert meanings("monitors", "push") == {}
    field_docs._sections.cache_clear()
