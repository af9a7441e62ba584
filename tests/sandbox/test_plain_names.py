"""Paths that Hadoop cannot have get a plain name, and leave nothing behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from rtb.sandbox.errors import SandboxError
from rtb.sandbox.yarn.plain import PlainNames


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def test_a_link_stands_for_a_path_with_a_space(tmp_path: Path, temporary: Path) -> None:
    odd, other, plain = tmp_path / "it's here", tmp_path / "a $b", tmp_path / "plain"
    for place in (odd, other, plain):
        place.mkdir()
    names = PlainNames(odd / "names")
    assert names.of(plain) == plain
    assert list(temporary.iterdir()) == []
    links = [names.of(odd), names.of(other)]
    assert [link.resolve() for link in links] == [odd, other]
    assert not any(set(str(link)) & set(" '$") for link in links)
    # The next run removes what a killed one left; and there may be nothing.
    for _ in range(2):
        PlainNames(odd / "names").remove()
        assert list(temporary.iterdir()) == list(odd.iterdir()) == []
        assert other.is_dir()


def test_no_plain_place_for_a_link_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a b"))
    (tmp_path / "a b").mkdir()
    with pytest.raises(SandboxError, match="TMPDIR"):
        PlainNames(tmp_path / "names").of(tmp_path / "a b")
    assert list((tmp_path / "a b").iterdir()) == []
