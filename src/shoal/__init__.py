"""One Django project on many databases, as if they were one."""

__version__ = "0.1.0"
