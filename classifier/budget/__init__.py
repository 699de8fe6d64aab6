"""The day's money: how much is left, shared by all replicas, and what is given up when it runs out."""
