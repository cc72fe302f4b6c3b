"""The auditor's program: verifies a ledger, and everything that rests on it, from raw rows or from a bundle.

It shares no code with what writes the ledger: only Python's own library, `cryptography`, and a driver that reads.
"""
