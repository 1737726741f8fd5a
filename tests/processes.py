"""What processes of this machine are and have opened, read from /proc (Linux)."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_ntop

LISTENS = "0A"


def all_processes() -> Iterator[int]:
    """Their numbers."""
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())


def marked(mark: str) -> dict[int, str]:
    """Living processes whose environment has this text, with their command lines."""
    found = {}
    for pid in all_processes():
        place = Path(f"/proc/{pid}")
        with suppress(OSError):
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
            if mark.encode() in (place / "environ").read_bytes() and state not in "ZX":
                found[pid] = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def listened(pids: Iterable[int]) -> set[str]:
    """The addresses at which processes listen now, by TCP."""
    inodes = set()
    for pid in pids:
        with suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    inodes.add(os.readlink(f"/proc/{pid}/fd/{number}"))
    addresses = set()
    for file, family in (("tcp", AF_INET), ("tcp6", AF_INET6)):
        lines = Path(f"/proc/net/{file}").read_text().splitlines()[1:]
        for fields in map(str.split, lines):
            if fields[3] == LISTENS and f"socket:[{fields[9]}]" in inodes:
                digits = bytes.fromhex(fields[1].partition(":")[0])
                # Words of four bytes, each in the machine's order.
                words = (digits[i : i + 4][::-1] for i in range(0, len(digits), 4))
                addresses.add(inet_ntop(family, b"".join(words)))
    return addresses


def is_inside(address: str) -> bool:
    """Whether an address is of the loopback."""
    return address.removeprefix("::ffff:").startswith("127.") or address == "::1"
