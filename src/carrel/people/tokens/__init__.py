"""Access tokens that programs bring: what they must say, and whose they are."""
