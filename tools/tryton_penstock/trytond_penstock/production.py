# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that works on a production order."""

from trytond.model import fields
from trytond.pool import PoolMeta


class Production(metaclass=PoolMeta):
    __name__ = "production"

    penstock_asset = fields.Char(
        "Machine", help="Code of the machine that works on this order, as its telemetry gives it."
    )
