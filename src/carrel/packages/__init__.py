"""The only door for software: a package gateway that decides what may come in."""
