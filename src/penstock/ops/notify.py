"""Notify: what a service manager wants to hear (ready, reloading, stopping, alive) goes out as one
datagram.

Protocol: sd_notify(3). Where ``$NOTIFY_SOCKET`` is not set nothing happens, and nothing fails.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """The service manager of this process, if it has one."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        found = os.environ if environment is None else environment
        address = found.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = found.get("WATCHDOG_USEC", "")
        if found.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            self._watchdog = ""

    @property
    def watchdog_s(self) -> float:
        """How often the manager wants a sign of life, at the least; 0 = never."""
        return int(self._watchdog) / 1e6 if self._watchdog.isdecimal() else 0.0

    def tell(self, **words: str) -> bool:
        """Sends ``KEY=value`` lines, say ``READY="1"``; False where nobody listens."""
        if not self._address:
            return False
        text = "\n".join(f"{key}={value}" for key, value in words.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            try:
                sender.connect(self._address)
                sender.sendall(text.encode("utf-8", "replace"))
            except OSError:
                return False
        return True
