"""What keeps a path from hurting tickets: a breaker, budgets for extra calls, a latency window.

Pure: no I/O, no tasks; time and chance are parameters. One guard per path and endpoint.
"""
