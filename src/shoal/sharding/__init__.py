"""Takes compiled queries, gives rows: from one shard, or gathered from all."""
