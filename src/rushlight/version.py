"""Version of this package, and of the API it follows."""

__version__ = "0.1.0"
api = "2.13"            # the PyTorch release whose behaviour is the reference
cuda = None
hip = None
git_version = "unknown"
debug = False
