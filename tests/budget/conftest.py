"""Properties try the same examples on every machine, and a slow machine fails none of them."""

from __future__ import annotations

from hypothesis import settings

settings.load_profile("ci")  # hypothesis' own: derandomised, no deadline, no database
