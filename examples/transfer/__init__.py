"""Money moves from account to account, and each transfer has one receipt, whatever is killed and when.

The transfer and the job that makes its receipt are one transaction. `python -m examples.transfer 100` does it a hundred
times, with NARROWBOAT_URL at PostgreSQL or SQLite; it may be killed at any moment and started again, also several times
at once. `narrowboat worker examples.transfer.receipts:app` makes the receipts.
"""
