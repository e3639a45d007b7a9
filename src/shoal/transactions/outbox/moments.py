"""Takes the vendor of a server, gives SQL for its clock: seconds since 1970."""

NOW = {
    "postgresql": "extract(epoch FROM clock_timestamp())::double precision",
    # UNIX_TIMESTAMP() reads a local time, of which there are two once a year.
    "mysql": "(timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)) / 1e6)",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}
