"""Metrics of several gunicorn workers survive broken files of other processes."""

from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from monitoring.django_metrics import render_django_metrics


@pytest.mark.parametrize(
    "left", [b"", b"\0" * 4, b"\xff" * 64, b"\x40\0\0\0" + b"\xff" * 100, b"half", b"\x08\0\0\0\0\0\0\0" * 3]
)
@pytest.mark.parametrize("name", ["counter_2.db", "gauge_all_2.db", "histogram_2.db", "odd.db", "gauge_2.db"])
def test_a_broken_metrics_file_breaks_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: bytes, name: str
) -> None:
    """Empty, truncated or of nobody; also a folder of that name."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    good = MmapedDict(str(tmp_path / "counter_1.db"))
    good.write_value(mmap_key("requests", "requests_total", [], [], "Requests"), 3.0, 0.0)
    good.close()
    (tmp_path / name).write_bytes(left)
    (tmp_path / "counter_3.db").mkdir()

    assert "requests_total 3.0" in render_django_metrics()
    assert (tmp_path / name).exists()
