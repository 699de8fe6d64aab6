"""A helpdesk to test against: one real HTTP server that speaks every vendor's documented API."""
