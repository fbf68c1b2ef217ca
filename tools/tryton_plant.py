"""The plant as Tryton sees it: company, products, stock, the user penstock works as, its orders."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from tryton_rpc import Rpc

SERVICE_USER = "penstock"
FINISHED, RAW = "FG-100", "RM-100"
RAW_KG_PER_PIECE = 0.05
RAW_STOCK_KG = 1_000_000.0
ORDER_PIECES = 1_000_000.0


class PlantError(Exception):
    """Tryton is not seeded as this module expects."""


def seed_master(rpc: Rpc, password: str) -> None:
    """Company, units, products, bill of materials, stock, and the user penstock works as."""
    (euro,) = rpc(
        "currency.currency", "create",
        [{"name": "Euro", "symbol": "€", "code": "EUR", "digits": 2, "rounding": Decimal("0.01"),
          "rates": [["create", [{"date": dt.date(2020, 1, 1), "rate": Decimal(1)}]]]}],
    )  # fmt: skip
    (party,) = rpc("party.party", "create", [{"name": "Packaging Plant"}])
    (company,) = rpc(
        "company.company", "create", [{"party": party, "currency": euro, "timezone": "UTC"}]
    )
    rpc("res.user", "write", [rpc.user_id], {"companies": [["add", [company]]], "company": company})
    rpc.refresh()
    unit, kilogram = (_one(rpc, "product.uom", "symbol", symbol) for symbol in ("u", "kg"))
    # Scales give grams; the shipped unit has two decimals.
    rpc("product.uom", "write", [kilogram], {"digits": 3, "rounding": 0.001})
    raw = _seed_product(rpc, RAW, "Carton board", kilogram, Decimal("0.90"))
    price = Decimal("0.05")
    finished = _seed_product(rpc, FINISHED, "Folding carton", unit, price, producible=True)
    used = {"product": raw, "quantity": RAW_KG_PER_PIECE, "unit": kilogram}
    (bom,) = rpc(
        "production.bom", "create",
        [{"name": "Folding carton", "inputs": [["create", [used]]],
          "outputs": [["create", [{"product": finished, "quantity": 1.0, "unit": unit}]]]}],
    )  # fmt: skip
    rpc("product.product", "write", [finished], {"boms": [["create", [{"bom": bom}]]]})
    warehouse = _one(rpc, "stock.location", "code", "WH")
    waste = _one(rpc, "stock.location", "name", "Lost and Found")
    rpc("stock.location", "write", [warehouse], {"waste_locations": [["add", [waste]]]})
    (inventory,) = rpc(
        "stock.inventory", "create",
        [{"location": _one(rpc, "stock.location", "code", "STO"), "company": company,
          "date": dt.datetime.now(dt.UTC).date(),
          "lines": [["create", [{"product": raw, "quantity": RAW_STOCK_KG}]]]}],
    )  # fmt: skip
    rpc("stock.inventory", "confirm", [inventory])
    sequence = _one(rpc, "ir.sequence", "name", "Production")
    rpc("ir.sequence", "write", [sequence], {"prefix": "MO-", "padding": 5})
    groups = [_one(rpc, "res.group", "name", name) for name in ("Stock", "Production")]
    rpc(
        "res.user", "create",
        [{"name": "Penstock", "login": SERVICE_USER, "password": password,
          "groups": [["add", groups]], "companies": [["add", [company]]], "company": company}],
    )  # fmt: skip


def _one(rpc: Rpc, model: str, field: str, value: str) -> int:
    """The one record of `model` whose `field` is `value`, as the modules ship it."""
    found = rpc(model, "search", [(field, "=", value)], 0, None, None)
    if len(found) != 1:
        raise PlantError(f"{len(found)} records of {model} with {field} {value!r}, one expected")
    return int(found[0])


def _seed_product(rpc: Rpc, code: str, name: str, unit: int, cost: Decimal, **more: Any) -> int:
    (template,) = rpc(
        "product.template", "create",
        [{"code": code, "name": name, "type": "goods", "default_uom": unit, "list_price": cost * 2,
          "products": [["create", [{"cost_price": cost}]]], **more}],
    )  # fmt: skip
    (product,) = rpc("product.product", "search", [("template", "=", template)], 0, None, None)
    return int(product)


def seed_orders(rpc: Rpc, machines: tuple[str, ...]) -> list[dict[str, Any]]:
    """Start one production order a machine; returns what ``penstock.posting.running`` says."""
    today = dt.datetime.now(dt.UTC).date()
    company = rpc.context["company"]
    unit, kilogram = (_one(rpc, "product.uom", "symbol", symbol) for symbol in ("u", "kg"))
    place = {code: _one(rpc, "stock.location", "code", code) for code in ("WH", "STO", "PROD")}
    product = {code: _one(rpc, "product.product", "code", code) for code in (FINISHED, RAW)}
    bom = _one(rpc, "production.bom", "name", "Folding carton")
    (currency,) = rpc("company.company", "read", [company], ["currency"])
    made = {
        "product": product[FINISHED], "quantity": ORDER_PIECES, "unit": unit, "company": company,
        "from_location": place["PROD"], "to_location": place["STO"], "unit_price": Decimal(0),
        "currency": currency["currency"],
    }  # fmt: skip
    order = {
        "company": company, "warehouse": place["WH"], "location": place["PROD"], "type": "assembly",
        "product": product[FINISHED], "bom": bom, "unit": unit, "quantity": ORDER_PIECES,
        "planned_date": today, "planned_start_date": today, "outputs": [["create", [made]]],
    }  # fmt: skip
    ids = rpc(
        "production", "create", [{**order, "reference": m, "penstock_asset": m} for m in machines]
    )
    # Running an order issues its inputs. These machines weigh what they use: the plan comes after.
    for button in ("wait", "assign_try", "run"):
        rpc("production", button, ids)
    planned = {
        "product": product[RAW], "quantity": ORDER_PIECES * RAW_KG_PER_PIECE, "unit": kilogram,
        "company": company, "from_location": place["STO"], "to_location": place["PROD"],
    }  # fmt: skip
    rpc("stock.move", "create", [{**planned, "production_input": i} for i in ids])
    orders: list[dict[str, Any]] = rpc("penstock.posting", "running", list(machines))
    if len(orders) != len(machines):
        raise PlantError(f"{len(machines)} orders started, {len(orders)} run")
    return orders
