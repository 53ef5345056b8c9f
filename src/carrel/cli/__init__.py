"""The commands: `carrel.cli.main:main`, one module for each group of them."""
