# SPDX-License-Identifier: GPL-3.0-or-later
"""Downtime: one stop of one machine, from start to end."""

from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, fields
from trytond.model.exceptions import AccessError
from trytond.pyson import Eval


class Downtime(ModelSQL, ModelView):
    "Machine Downtime"

    __name__ = "penstock.downtime"
    _rec_name = "number"

    number = fields.Char("Number", required=True, readonly=True)
    company = fields.Many2One("company.company", "Company", required=True, readonly=True)
    asset = fields.Char("Machine", required=True, readonly=True)
    production = fields.Many2One(
        "production",
        "Production",
        readonly=True,
        ondelete="RESTRICT",
        domain=[("company", "=", Eval("company", -1))],
    )
    state = fields.Char("State", required=True, readonly=True, help="As the machine names it.")
    reason = fields.Char("Reason")
    start = fields.Timestamp("Start", required=True, readonly=True, help="UTC, microseconds.")
    end = fields.Timestamp("End", required=True, readonly=True, help="UTC, microseconds.")
    duration = fields.Numeric("Duration (s)", digits=(12, 9), required=True, readonly=True)
    reference = fields.Char("Reference", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [("start", "DESC"), ("id", "DESC")]

    @classmethod
    def check_modification(cls, mode, downtimes, values=None, external=False):
        super().check_modification(mode, downtimes, values=values, external=external)
        # What the machine said stays; only why it stopped is for people to say.
        if external and mode == "write" and values.keys() - {"reason"}:
            raise AccessError(gettext("penstock.msg_downtime_fixed"))
