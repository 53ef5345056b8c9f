"""Who may come in? Accounts, roles, sign-in, sessions."""
