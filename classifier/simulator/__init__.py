"""A stand-in for a model server, for demos, tests and load tests; always labelled as simulated.

request ─▶ dialect (chat | decisions) ─▶ model ─▶ fault? ─▶ reader ─▶ usage ─▶ latency ─▶ answer
"""
