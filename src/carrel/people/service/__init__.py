"""What can be done with accounts, roles and sessions? `People` is the whole of it."""

from carrel.people.service.accounts import Accounts
from carrel.people.service.members import Members
from carrel.people.service.sign_in import SignIn


class People(Accounts, Members, SignIn):
    """The use cases of the people room; the only writer of its tables.

    `accounts.py` makes and disables accounts, `members.py` gives roles in workspaces,
    `sign_in.py` begins and ends sessions, `totp.py` is about passwords and codes.
    """


__all__ = ["People"]
