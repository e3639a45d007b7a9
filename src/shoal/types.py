"""The small types that every floor shares. Imports nothing of Shoal."""

from typing import Literal, TypeAlias

Alias: TypeAlias = str
"""A key of `DATABASES`."""

ClusterName: TypeAlias = str
"""A key of `SHOAL["CLUSTERS"]`: the alias of the cluster's primary."""

Role: TypeAlias = str
"""A key of a cluster's `ROLES`: the name of one edition."""

Consistency: TypeAlias = Literal["session", "eventual", "primary"]

Ids: TypeAlias = Literal["bucketed", "plain"]
"""What automatic primary keys of a sharded cluster look like."""

Bucket: TypeAlias = int
"""One of the fixed slices of the key space: 0 to 4095."""

Permission: TypeAlias = Literal["allow", "error"]
"""Whether a query may be answered in some way, or raises an error instead."""
