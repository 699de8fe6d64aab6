"""Remembered answers: in process, in Redis, or in both tiers."""
