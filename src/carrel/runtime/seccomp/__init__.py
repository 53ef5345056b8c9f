"""The system call filter of every sandbox, built beforehand for each architecture."""
