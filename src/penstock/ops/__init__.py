"""Ops: a running plant is watched and steered from outside; its figures, health and orders pass
here.

Nothing of the core imports this room. ``control`` is the socket in the state directory, ``web`` the
metrics and health pages, ``health`` what they say, ``notify`` and ``logs`` are for the service
manager.
"""
