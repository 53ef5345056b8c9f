"""Access tokens that Carrel hands out: an embedded issuer that Entra's clients understand."""
