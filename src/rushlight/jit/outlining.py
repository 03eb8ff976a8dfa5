"""Gives submodules of a trace their own graphs: what a module's call recorded becomes its method."""


def outline(recorder, types):
    """(The graph stays one.)"""
