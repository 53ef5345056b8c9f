"""Proofs: Carrel attacks its own isolation, and keeps what it saw."""
