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

    def tell(self, **words: str) -> bool:
        """Sends ``KEY=value`` lines, say ``READY="1"``; False where nobody listens."""
        if not self._address:
            return False
        text = "\n".join(f"{key}={value}" for key, value in words.items())
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with socket.socket(socket.AF_UNIX, kind) as sender:  # a deaf manager stops no plant
            try:
                sender.connect(self._address)
                sender.sendall(text.encode("utf-8", "replace"))
            except OSError:
                return False
        return True
