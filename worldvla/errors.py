"""Errors that a user can cause and mend."""


class UserError(Exception):
    """The message names the file or field at fault and the fix; it is shown without a stack trace."""
