# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that works on a production order, and what finishing such an order means."""

from trytond.model import ModelView, Workflow, fields
from trytond.pool import Pool, PoolMeta


class Production(metaclass=PoolMeta):
    __name__ = "production"

    penstock_asset = fields.Char(
        "Machine", help="Code of the machine that works on this order, as its telemetry gives it."
    )

    @classmethod
    @ModelView.button
    @Workflow.transition("done")
    def do(cls, productions):
        """Finish. Of a product that the machine booked, its bookings stand and the plan goes."""
        Move = Pool().get("stock.move")
        superseded = []
        for moves in (m for p in productions for m in (p.inputs, p.outputs)):
            booked = {m.product for m in moves if m.penstock_document and m.state == "done"}
            superseded += [m for m in moves if m.state == "draft" and m.product in booked]
        Move.delete(superseded)
        super().do(productions)
