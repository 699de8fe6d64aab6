"""The server's edge: what happens to bytes before they are a request, and at the end."""
