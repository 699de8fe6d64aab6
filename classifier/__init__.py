"""Routes support tickets to the cheapest model path that answers well, and proves it."""

__version__ = "0.1.0"
