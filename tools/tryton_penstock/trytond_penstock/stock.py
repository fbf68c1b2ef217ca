# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stock move made by a posting says of itself: its document number, lot, reason, event."""

from trytond.model import fields
from trytond.pool import PoolMeta


class Move(metaclass=PoolMeta):
    __name__ = "stock.move"

    penstock_document = fields.Char("Machine Document", readonly=True)
    # The plant's lot text, also of material that was consumed for the lot and bears another.
    penstock_lot = fields.Char("Machine Lot", readonly=True)
    penstock_reason = fields.Char("Reason", readonly=True)
    penstock_reference = fields.Char("Machine Reference", readonly=True)

    @classmethod
    def copy(cls, moves, default=None):
        default = {} if default is None else default.copy()
        for name in ("document", "lot", "reason", "reference"):
            default.setdefault(f"penstock_{name}")
        return super().copy(moves, default=default)
