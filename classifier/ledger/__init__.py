"""Append-only records of what was answered and what agents made of it."""

from classifier.ledger.ledger import Ledger, LedgerAway
from classifier.ledger.lines import Classified, Correction

__all__ = ["Classified", "Correction", "Ledger", "LedgerAway"]
