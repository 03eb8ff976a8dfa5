"""What launched processes use: the `record` decorator, in `multiprocessing.errors`."""
