"""What must not be lost: events that came in, and write-backs that must go out."""
