"""Takes compiled writes, sends them to the shards that their rows are on."""
