"""The backend of a sharded alias: many shards behind one connection of Django."""
