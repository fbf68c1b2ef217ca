# SPDX-License-Identifier: GPL-3.0-or-later
"""Posting: a key that was booked, and the one document it became.

One RPC call is one database transaction: key, number and document commit together or not at all.
The key row is written first: it takes the write lock, and its unique index decides a race before
anything else is read.
"""

import datetime as dt
import re
from decimal import Decimal

from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, Unique, fields
from trytond.model.exceptions import AccessError, SQLConstraintError
from trytond.model.exceptions import ValidationError as TrytonValidationError
from trytond.pool import Pool
from trytond.rpc import RPC
from trytond.transaction import Transaction, TransactionError, without_check_access

# UN/ECE Recommendation 20 codes of the units that the product module ships.
UNECE_UNITS = {
    "C62": "uom_unit",
    "KGM": "uom_kilogram",
    "GRM": "uom_gram",
    "LBR": "uom_pound",
    "SEC": "uom_second",
    "MIN": "uom_minute",
    "HUR": "uom_hour",
    "DAY": "uom_day",
    "MTR": "uom_meter",
    "KMT": "uom_kilometer",
    "CMT": "uom_centimeter",
    "MMT": "uom_millimeter",
    "MTQ": "uom_cubic_meter",
    "LTR": "uom_liter",
    "CMQ": "uom_cubic_centimeter",
    "MTK": "uom_square_meter",
    "CMK": "uom_square_centimeter",
    "KWH": "uom_energy_kwh",
    "MWH": "uom_energy_mwh",
    "JOU": "uom_energy_joule",
}
KEY_CHARS_MAX = 128
TEXT_CHARS_MAX = 255
# A Tryton quantity is a double: 15 significant digits come back as they were written.
SIGNIFICANT_DIGITS_MAX = 15
DECIMAL_TEXT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?", re.ASCII)
# start, end and duration are rounded apart by who formats them; a larger difference is a mistake.
DURATION_SLACK_S = Decimal("0.01")


class PostedMeanwhile(TransactionError):
    """Another transaction booked this key after we looked.

    The dispatcher runs the call again, which finds the row.
    """


class PostingError(TrytonValidationError):
    """A refused posting; the description is a stable code for the client."""


def refuse(code, **values):
    raise PostingError(gettext(f"penstock.msg_{code}", **values), f"penstock:{code}")


class Posting(ModelSQL, ModelView):
    "Machine Posting"

    __name__ = "penstock.posting"
    _rec_name = "document"

    key = fields.Char("Key", required=True, readonly=True, help="Identity of the posted event.")
    digest = fields.Char("Digest", required=True, readonly=True, help="Digest of what was posted.")
    kind = fields.Char("Kind", required=True, readonly=True)
    document = fields.Char("Document", readonly=True)
    model = fields.Char("Model", readonly=True)
    record = fields.Integer("Record", readonly=True)
    lot = fields.Char("Lot", readonly=True)
    reference = fields.Char("Reference", readonly=True)
    posted_at = fields.Timestamp("Posted at", required=True, readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ("key_unique", Unique(table, table.key), "penstock.msg_key_unique"),
        ]
        cls._order = [("id", "DESC")]
        cls.__rpc__["post"] = RPC(readonly=False)
        cls.__rpc__["find"] = RPC(readonly=True)
        cls.__rpc__["running"] = RPC(readonly=True)

    @classmethod
    def check_modification(cls, mode, postings, values=None, external=False):
        super().check_modification(mode, postings, values=values, external=external)
        if external:
            raise AccessError(gettext("penstock.msg_posting_fixed"))

    # ---- what clients call -------------------------------------------------------------------

    @classmethod
    def post(cls, key, digest, kind, values):
        """Book `values` once under `key`.

        Answers {"status": posted | duplicate | conflict, document, model, id, digest}.
        """
        book = cls._booker(kind)
        cls._check_text("key", key, KEY_CHARS_MAX)
        cls._check_text("digest", digest, KEY_CHARS_MAX)
        if not isinstance(values, dict):
            refuse("value_missing", field="values")
        found = cls._get(key)
        if found:
            same = found.digest == digest and found.kind == kind
            return found._answer("duplicate" if same else "conflict")
        sequence = cls._locked_sequence(kind)
        row = cls._reserve(key, digest, kind, values)
        number = sequence.get()
        record = book(values, number)
        with without_check_access():
            cls.write([row], {"document": number, "model": record.__name__, "record": record.id})
        return cls(row.id)._answer("posted")

    @classmethod
    def find(cls, key):
        """What was booked under `key`, as `post` answered it, or None."""
        found = cls._get(key)
        return found._answer("posted") if found else None

    @classmethod
    def running(cls, assets):
        """The orders that run now at `assets` (all, when empty), oldest first."""
        Production = Pool().get("production")
        orders = Production.search([("state", "=", "running")], order=[("id", "ASC")])
        wanted = set(assets or ())
        return [
            cls._running(order)
            for order in orders
            if not wanted or (order.penstock_asset or order.reference) in wanted
        ]

    # ---- the row -----------------------------------------------------------------------------

    @classmethod
    @without_check_access
    def _get(cls, key):
        found = cls.search([("key", "=", key)], limit=1)
        return found[0] if found else None

    @classmethod
    @without_check_access
    def _reserve(cls, key, digest, kind, values):
        row = {
            "key": key,
            "digest": digest,
            "kind": kind,
            "lot": cls._text(values, "lot"),
            "reference": cls._text(values, "reference"),
            "posted_at": dt.datetime.now(dt.UTC).replace(tzinfo=None),
        }
        try:
            return cls.create([row])[0]
        except SQLConstraintError as error:
            raise PostedMeanwhile() from error

    @classmethod
    def _locked_sequence(cls, kind):
        """The number sequence of `kind`, locked, with what else booking it locks.

        A lock that is not held yet makes the dispatcher run the call again: here that repeats a
        look-up, later it would repeat the booking.
        """
        pool = Pool()
        ModelData, Sequence = pool.get("ir.model.data"), pool.get("ir.sequence.strict")
        sequence = Sequence(ModelData.get_id("penstock", f"sequence_{kind}"))
        with without_check_access():
            sequence.lock()
        if kind == "material_consumption" and not Transaction().database.has_select_for():
            pool.get("stock.move").lock()
        return sequence

    def _answer(self, status):
        return {
            "status": status,
            "document": self.document,
            "model": self.model,
            "id": self.record,
            "digest": self.digest,
        }

    @classmethod
    def _booker(cls, kind):
        bookers = {
            "production_confirmation": cls._book_confirmation,
            "material_consumption": cls._book_consumption,
            "scrap": cls._book_scrap,
            "downtime": cls._book_downtime,
        }
        if kind not in bookers:
            refuse("kind_unknown", kind=kind)
        return bookers[kind]

    # ---- one booker a kind -------------------------------------------------------------------

    @classmethod
    def _book_confirmation(cls, values, number):
        order = cls._order_running(values)
        product = cls._output_product(values, order)
        move = cls._move(values, order, product, number)
        move.from_location = order.location
        move.to_location = order.output_location
        move.production_output = order
        # Priced when the order is finished, from what it consumed.
        move.unit_price = Decimal(0)
        move.currency = order.company.currency
        move.lot = cls._lot(values, product)
        return cls._do(move)

    @classmethod
    def _book_scrap(cls, values, number):
        order = cls._order_running(values)
        product = cls._output_product(values, order)
        move = cls._move(values, order, product, number)
        move.from_location = order.location
        move.to_location = cls._waste_location(order)
        move.production_output = order
        move.penstock_reason = cls._text(values, "reason")
        move.lot = cls._lot(values, product)
        return cls._do(move)

    @classmethod
    def _book_consumption(cls, values, number):
        order = cls._order_running(values)
        product = cls._input_product(values, order)
        move = cls._move(values, order, product, number)
        move.from_location = order.picking_location
        move.to_location = order.location
        move.production_input = order
        if cls._available(order, product) < move.on_change_with_internal_quantity():
            refuse("stock_short", product=product.rec_name, location=move.from_location.rec_name)
        return cls._do(move)

    @classmethod
    def _book_downtime(cls, values, number):
        pool = Pool()
        Downtime = pool.get("penstock.downtime")
        order = cls._order_named(values) if values.get("order") not in (None, "") else None
        company = order.company.id if order else Transaction().context.get("company")
        if not company:
            refuse("company_missing")
        start, end = cls._time(values, "start"), cls._time(values, "end")
        duration = cls._decimal(values, "duration_s")
        if end < start or duration < 0:
            refuse("interval_invalid", start=values["start"], end=values["end"])
        length = Decimal((end - start) // dt.timedelta(microseconds=1)) / 1_000_000
        if abs(length - duration) > DURATION_SLACK_S:
            refuse("duration_differs", duration=values["duration_s"], length=str(length))
        downtime = Downtime(
            number=number,
            company=company,
            asset=cls._text(values, "asset", required=True),
            production=order,
            state=cls._text(values, "state", required=True),
            reason=cls._text(values, "reason"),
            start=start,
            end=end,
            duration=duration,
            reference=cls._text(values, "reference"),
        )
        downtime.save()
        return downtime

    # ---- stock moves -------------------------------------------------------------------------

    @classmethod
    def _move(cls, values, order, product, number):
        Move = Pool().get("stock.move")
        unit = cls._unit(values, product)
        day = cls._day(values, order)
        return Move(
            company=order.company,
            product=product,
            quantity=cls._quantity(values, unit),
            unit=unit,
            state="draft",
            planned_date=day,
            effective_date=day,
            penstock_document=number,
            penstock_lot=cls._text(values, "lot"),
            penstock_reference=cls._text(values, "reference"),
        )

    @classmethod
    def _do(cls, move):
        Move = Pool().get("stock.move")
        move.save()  # checks the caller's rights on moves
        # The button wants an assigned move; what assigning is for, the stock check, is ours.
        with without_check_access():
            Move.do([move])
        return move

    @classmethod
    def _available(cls, order, product):
        """Stock in the product's unit that running the order by hand could assign today."""
        pool = Pool()
        Product, Date = pool.get("product.product"), pool.get("ir.date")
        place, company = order.picking_location.id, order.company.id
        with Transaction().set_context(company=company):
            today = Date.today()
        with Transaction().set_context(company=company, stock_date_end=today, stock_assign=True):
            found = Product.products_by_location(
                [place], with_childs=True, grouping_filter=([product.id],)
            )
        return found.get((place, product.id), 0)

    @classmethod
    def _waste_location(cls, order):
        Location = Pool().get("stock.location")
        places = [x for x in order.warehouse.waste_locations if x.type == "lost_found"]
        places = places or Location.search([("type", "=", "lost_found")], limit=1)
        if not places:
            refuse("location_missing")
        return places[0]

    @classmethod
    def _lot(cls, values, product):
        number = cls._text(values, "lot")
        if not number:
            return None
        Lot = Pool().get("stock.lot")
        found = Lot.search([("number", "=", number), ("product", "=", product.id)], limit=1)
        if found:
            return found[0]
        lot = Lot(number=number, product=product)
        lot.save()
        return lot

    # ---- what the values name ----------------------------------------------------------------

    @classmethod
    def _order_named(cls, values):
        Production = Pool().get("production")
        order = values.get("order")
        if isinstance(order, bool) or not isinstance(order, int | str) or order == "":
            refuse("value_missing", field="order")
        field = "id" if isinstance(order, int) else "number"
        found = Production.search([(field, "=", order)], limit=2)
        if len(found) != 1:
            refuse("order_unknown", order=order)
        return found[0]

    @classmethod
    def _order_running(cls, values):
        order = cls._order_named(values)
        if order.state != "running":
            refuse("order_not_running", order=order.rec_name, state=order.state)
        return order

    @classmethod
    def _output_product(cls, values, order):
        made = {order.product} if order.product else set()
        made |= {x.product for x in order.bom.outputs} if order.bom else set()
        return cls._product(values, order, made, order.product)

    @classmethod
    def _input_product(cls, values, order):
        used = {x.product for x in order.inputs}
        used |= {x.product for x in order.bom.inputs} if order.bom else set()
        return cls._product(values, order, used, next(iter(used)) if len(used) == 1 else None)

    @classmethod
    def _product(cls, values, order, allowed, default):
        code = values.get("product")
        if code in (None, ""):
            if default is None:
                refuse("product_ambiguous", order=order.rec_name, count=len(allowed))
            return default
        found = Pool().get("product.product").search([("code", "=", code)], limit=2)
        if len(found) != 1:
            refuse("product_unknown", product=code)
        if found[0] not in allowed:
            refuse("product_not_of_order", product=code, order=order.rec_name)
        return found[0]

    @classmethod
    def _unit(cls, values, product):
        pool = Pool()
        ModelData, Uom = pool.get("ir.model.data"), pool.get("product.uom")
        code = cls._text(values, "unit", required=True)
        if code not in UNECE_UNITS:
            refuse("unit_unknown", unit=code)
        unit = Uom(ModelData.get_id("product", UNECE_UNITS[code]))
        if unit.category != product.default_uom.category:
            refuse(
                "unit_differs", unit=code, product=product.rec_name, own=product.default_uom.symbol
            )
        return unit

    @classmethod
    def _quantity(cls, values, unit):
        quantity = cls._decimal(values, "quantity")
        if quantity <= 0:
            refuse("quantity_not_positive", quantity=values["quantity"])
        _, digits, exponent = quantity.normalize().as_tuple()
        if max(-exponent, 0) > unit.digits:
            refuse(
                "quantity_digits",
                quantity=values["quantity"],
                unit=unit.symbol,
                digits=unit.digits,
            )
        if len(digits) > SIGNIFICANT_DIGITS_MAX:
            refuse("quantity_invalid", field="quantity", value=values["quantity"])
        return float(quantity)

    @classmethod
    def _day(cls, values, order):
        Date = Pool().get("ir.date")
        text = cls._text(values, "date", required=True)
        try:
            day = dt.date.fromisoformat(text)
        except ValueError:
            refuse("date_invalid", date=text)
        with Transaction().set_context(company=order.company.id):
            today = Date.today()
        if day > today:
            refuse("date_future", date=text, today=today.isoformat())
        return day

    @classmethod
    def _time(cls, values, field):
        text = cls._text(values, field, required=True)
        try:
            time = dt.datetime.fromisoformat(text)
        except ValueError:
            refuse("time_invalid", field=field, time=text)
        if time.tzinfo is None:
            refuse("time_invalid", field=field, time=text)
        return time.astimezone(dt.UTC).replace(tzinfo=None)

    @classmethod
    def _decimal(cls, values, field):
        value = values.get(field)
        if value is None:
            refuse("value_missing", field=field)
        # Binary floats are refused: what was meant is not what they hold.
        if not isinstance(value, str) or not DECIMAL_TEXT.fullmatch(value):
            refuse("quantity_invalid", field=field, value=value)
        return Decimal(value)

    @classmethod
    def _text(cls, values, field, required=False):
        value = values.get(field)
        if value is None and not required:
            return ""
        cls._check_text(field, value, TEXT_CHARS_MAX, empty=not required)
        return value

    @classmethod
    def _check_text(cls, field, value, chars_max, empty=False):
        if value in (None, "") and not empty:
            refuse("value_missing", field=field)
        if not isinstance(value, str) or len(value) > chars_max:
            refuse("text_invalid", field=field, length=chars_max)

    @classmethod
    def _running(cls, order):
        ModelData = Pool().get("ir.model.data")
        own = {ModelData.get_id("product", name): code for code, name in UNECE_UNITS.items()}
        lots = [m.penstock_lot for m in order.outputs if m.penstock_lot and m.state == "done"]
        return {
            "asset": order.penstock_asset or order.reference,
            "order": order.id,
            "number": order.number,
            "product": order.product.code if order.product else None,
            "unit": own.get(order.unit.id, order.unit.symbol) if order.unit else None,
            "quantity": format(Decimal(repr(order.quantity or 0.0)).normalize(), "f"),
            "lot": lots[0] if lots else "",
        }
