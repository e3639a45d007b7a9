"""Django's own tests, run on a sharded alias: `make test-django`."""
