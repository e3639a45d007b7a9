"""
Takes a planned server and MariaDB's programs, gives it running.

A replica is a copy of its primary's files from before the first start, and follows
by GTID. The words of MariaDB's own SQL are what they are.
"""

import signal
from collections.abc import Mapping
from pathlib import Path

from shoal.lab.binaries import MariaDBBinaries
from shoal.lab.clients import Row, ask_mariadb
from shoal.lab.plan import Cluster, MariaDB
from shoal.lab.ports import HOST
from shoal.lab.privileges import give
from shoal.lab.server import USER, LabServer, Site

ADMIN = "shoal_admin"
"""Who may lift `read_only`. The user of `DATABASES` may not, so replicas are safe."""

STORAGE: Mapping[str, str] = {
    # A lab's data need not survive the machine, only the servers' crashes.
    "innodb_flush_method": "nosync",
    "innodb_log_file_size": "8M",
    "innodb_buffer_pool_size": "32M",
    "innodb_use_native_aio": "OFF",
    "aria_log_file_size": "8M",
}
SETTINGS: Mapping[str, str] = {
    **STORAGE,
    "log_bin": "binlog",
    "binlog_format": "ROW",
    "sync_binlog": "0",
    "log_slave_updates": "ON",
    "log_bin_trust_function_creators": "ON",
    "gtid_strict_mode": "ON",
    "relay_log": "relay",
    "slave_net_timeout": "10",
    "character_set_server": "utf8mb4",
    "collation_server": "utf8mb4_unicode_ci",
    "sql_mode": "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION",
    "default_time_zone": "+00:00",
    "key_buffer_size": "1M",
}
ACCOUNTS = """
DELETE FROM mysql.global_priv WHERE User IN ('root', '');
FLUSH PRIVILEGES;
CREATE USER '{admin}'@'localhost' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON *.* TO '{admin}'@'localhost' WITH GRANT OPTION;
CREATE USER '{user}'@'localhost' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON *.* TO '{user}'@'localhost' WITH GRANT OPTION;
REVOKE SUPER, READ ONLY ADMIN ON *.* FROM '{user}'@'localhost';
CREATE USER '{user}'@'{host}' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON *.* TO '{user}'@'{host}' WITH GRANT OPTION;
REVOKE SUPER, READ ONLY ADMIN ON *.* FROM '{user}'@'{host}';
"""


class MariaDBServer(LabServer):
    """A MariaDB primary, or a replica that follows its GTIDs."""

    vendor = MariaDB.vendor
    maintenance = "mysql"

    def __init__(
        self,
        name: str,
        *,
        cluster: Cluster,
        site: Site,
        binaries: MariaDBBinaries,
        upstream: LabServer | None = None,
    ) -> None:
        super().__init__(name, cluster=cluster, site=site, upstream=upstream)
        self._binaries = binaries

    @property
    def version(self) -> str:
        return self._binaries.version

    @property
    def client(self) -> str:
        return "mariadb"

    @property
    def socket_path(self) -> Path:
        return self._home / "mariadb.sock"

    def position(self) -> str:
        variable = "gtid_slave_pos" if self._upstream else "gtid_binlog_pos"
        return str(self.ask(f"SELECT @@{variable}")[0][0])

    def follows(self) -> bool:
        state = self.ask(
            "SELECT variable_value FROM information_schema.global_status "
            "WHERE variable_name = 'SLAVE_RUNNING'"
        )
        return state == [("ON",)]

    def _prepare(self) -> None:
        accounts = self._home / "accounts.sql"
        accounts.touch(mode=0o600)
        give(accounts, self._site.user)
        password = self._site.password
        accounts.write_text(
            ACCOUNTS.format(admin=ADMIN, user=USER, host=HOST, password=password)
        )
        self._run(
            [
                self._binaries.install,
                "--no-defaults",
                f"--datadir={self.data_directory}",
                f"--extra-file={accounts}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                *_options({**STORAGE, "tmpdir": str(self._home)}),
            ],
            "make its data directory",
        )
        accounts.unlink()

    def _configure(self) -> None:
        """Do nothing: all settings are given when the server is started."""

    def _begin(self) -> None:
        if not self._upstream:
            self.ask(f"CREATE DATABASE IF NOT EXISTS `{self.database}`")
            return
        self.ask(
            f"CHANGE MASTER TO MASTER_HOST = '{HOST}', "
            f"MASTER_PORT = {self._upstream.port}, MASTER_USER = '{USER}', "
            f"MASTER_PASSWORD = '{self._site.password}', "
            "MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos; START SLAVE"
        )

    def _spawn(self) -> int:
        settings = {
            **SETTINGS,
            **self._cluster.settings,
            "datadir": str(self.data_directory),
            # Two servers that share one drop each other's temporary tables.
            "tmpdir": str(self._home),
            "socket": str(self.socket_path),
            "pid_file": str(self._home / "mariadb.pid"),
            "bind_address": HOST,
            "port": str(self.port),
            "server_id": str(self.port),
            "report_host": self.name,
            "report_port": str(self.port),
            "read_only": "ON" if self._upstream else "OFF",
        }
        argv = [self._binaries.server, "--no-defaults", "--skip-name-resolve"]
        return self._site.tether.spawn([*argv, *_options(settings)], log=self.log_path)

    def _stop_signal(self, *, clean: bool) -> int:
        return signal.SIGTERM if clean else signal.SIGKILL

    def _query(self, statement: str, database: str, timeout: float) -> list[Row]:
        return ask_mariadb(
            self.socket_path,
            user=ADMIN if database == self.maintenance else USER,
            password=self._site.password,
            database=database,
            sql=statement,
            timeout=timeout,
        )

    def _pause(self) -> None:
        self.ask("STOP SLAVE SQL_THREAD")

    def _resume(self) -> None:
        self.ask("START SLAVE SQL_THREAD")

    def _promote(self) -> None:
        self.ask("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = OFF")

    def _reaches(self, position: str, timeout: float) -> bool:
        statement = f"SELECT MASTER_GTID_WAIT('{position}', {timeout:f})"
        return self.ask(statement, timeout=timeout + 10) == [(0,)]


def _options(settings: Mapping[str, str]) -> list[str]:
    return [f"--{name.replace('_', '-')}={v}" for name, v in settings.items()]
