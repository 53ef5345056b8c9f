"""What can be done with accounts, roles and sessions? `People` is the whole of it."""

from carrel.people.service.accounts import Accounts
from carrel.people.service.applications import Applications
from carrel.people.service.members import Members
from carrel.people.service.sign_in import SignIn
from carrel.people.service.tokens import Tokens


class People(Accounts, Applications, Members, Tokens, SignIn):
    """The use cases of the people room; the only writer of its tables.

    `accounts.py` makes and disables accounts, `members.py` gives roles in workspaces,
    `sign_in.py` begins and ends sessions, `totp.py` is about passwords and codes,
    `applications.py` about programs with accounts of their own, `tokens.py` says whose an access
    token is.
    """


__all__ = ["People"]
