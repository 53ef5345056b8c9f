"""Which processes make up a TRE on one machine, and who keeps them running?

`control` is what commands call; `supervisor` is the small process that restarts what died.
"""
