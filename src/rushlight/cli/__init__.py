"""The ``rushlight`` command."""
