"""Takes a visit, asks each server for the names of its tables."""

from smoke.visit import APPS, Visit, expect


def tables(visit: Visit) -> str:
    """Each cluster has its own tables and none of the others'."""
    places = []
    for server, apps in APPS.items():
        rows = visit.lab[server].sql(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
        tables = {str(name) for (name,) in rows} - {"django_migrations"}
        strange = {name for name in tables if name.split("_")[0] not in apps}
        expect(bool(tables) and not strange, f"{server} has {strange or 'none'}")
        places.append(f"{len(tables)} on {server}")
    return ", ".join(places)
