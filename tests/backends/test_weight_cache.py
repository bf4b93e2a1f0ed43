"""Where results are kept that are costly to make."""

from pathlib import Path

import pytest

from polyvec.backends._weight_cache import cache_folder


def test_the_folder_is_the_users_own_unless_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder(None) == Path("/home/ada/.cache/polyvec")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/ada")
    assert cache_folder(None) == Path("/var/cache/ada/polyvec")
    assert cache_folder("~/kept") == Path("/home/ada/kept")
    assert cache_folder("") is None


def test_a_user_without_a_home_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", unknown)
    assert cache_folder(None) is None
    assert "set --cache-dir" in caplog.text
