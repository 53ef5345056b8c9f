"""The only privileged code of Carrel: standard library only, nothing else of Carrel, no network."""
