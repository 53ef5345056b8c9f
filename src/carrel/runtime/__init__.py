"""Drivers that make a template real, and the launcher, the only privileged code."""
