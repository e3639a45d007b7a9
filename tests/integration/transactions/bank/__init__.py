"""A bank: accounts and transfers on a sharded cluster and on two plain ones."""
