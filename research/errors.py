"""The one exception for mistakes that a user can mend."""


class UserError(Exception):
    """A user's mistake, told in one line: the value, the rule and the way out.

    `launch` prints the message alone, without a traceback, and exits with its code.
    """

    exit_code = 2
