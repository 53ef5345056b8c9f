"""The only door for files: requests, scanners, reviews, deliveries and releases."""
