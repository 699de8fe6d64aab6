"""Append-only records of what was answered and what agents made of it."""

from classifier.ledger.ledger import Ledger, LedgerAway
from classifier.ledger.lines import Classified, Correction, decode, encode, with_prediction

__all__ = [
    "Classified",
    "Correction",
    "Ledger",
    "LedgerAway",
    "decode",
    "encode",
    "with_prediction",
]
