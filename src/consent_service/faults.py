"""What keeps the service, or a command, from starting."""


class StartFault(Exception):
    """The service cannot start; the message says why and what to do."""
