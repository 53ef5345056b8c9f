"""What does the use of a TRE cost? Meters times prices; budgets and quotes come later."""
