"""`membench replay`: profile and target → the same traffic again, measured."""


def command() -> None:
    """Placeholder."""
