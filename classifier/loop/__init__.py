"""The helpdesk loop: what happens between a signed webhook and the label in the ticket.

delivery ─▶ intake ─▶ inbox ─▶ reader ─▶ pipeline ─▶ outbox ─▶ writer ─▶ helpdesk
                                  └─ an agent's change ─▶ correction ─▶ ledger
"""
