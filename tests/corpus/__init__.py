"""Files of many kinds, clean and planted, made from a seed: nothing of it is real."""
