"""The machine's packet filter before and after an engine: dockerd leaves its chains behind, and a FORWARD chain that drops
what others forward."""

import pathlib
import subprocess

FORWARDING = pathlib.Path("/proc/sys/net/ipv4/ip_forward")
CHAINS = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}


class PacketFilter:
    """Remembers what is there when it is made."""

    def __init__(self):
        self._forwarding = FORWARDING.read_text()
        self._tables = {table: self._save(table) for table in CHAINS}

    @staticmethod
    def _save(table):
        return subprocess.check_output(["iptables-save", f"--table={table}"], text=True)

    def restore(self):
        for table, chains in CHAINS.items():
            # A table that was not there is an empty one.
            accept = "".join(f":{chain} ACCEPT [0:0]\n" for chain in chains)
            text = self._tables[table] if f"*{table}" in self._tables[table] else f"*{table}\n{accept}COMMIT\n"
            subprocess.run(["iptables-restore"], input=text, text=True, check=True)
        FORWARDING.write_text(self._forwarding)
