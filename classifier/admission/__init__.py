"""Who may ask a model now, who waits, and who is told at once to come back later."""
