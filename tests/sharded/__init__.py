"""A shop on a sharded alias, and beside it the same rows in one plain database."""
