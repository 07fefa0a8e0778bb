"""Numbers as people read them."""

from __future__ import annotations


def bytes_text(count: float) -> str:
    """Bytes in decimal units, three figures: `4.30 GB`."""
    return _scaled(count, (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)), "B")


def count_text(count: float) -> str:
    """A number of parameters, in the units of model names: `117.75 B`."""
    return _scaled(count, (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)), "")


def _scaled(count: float, units: tuple[tuple[str, float], ...], one: str) -> str:
    for unit, size in units:
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f} {one}".strip()


def seconds_text(seconds: float) -> str:
    """A duration: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
