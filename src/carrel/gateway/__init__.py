"""How do people reach the tools in a workspace? Only through here."""
