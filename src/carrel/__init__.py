"""Carrel: a Trusted Research Environment that runs on one machine and proves its isolation."""

__version__ = "0.1.0"
