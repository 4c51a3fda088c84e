"""Errors that the user can mend, and the exit codes of the command line."""

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INCOMPLETE = 3  # some documents failed; the others are written
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class UserError(Exception):
    """A failure that the user can mend: shown as one line, without a traceback.

    The message says what was found, what was needed and where (``file:line``).
    """

    exit_code = EXIT_FAILURE


class UsageError(UserError):
    """A command or call with arguments that do not fit together."""

    exit_code = EXIT_USAGE


class TerminatedError(BaseException):
    """SIGTERM arrived."""
