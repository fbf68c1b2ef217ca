"""Contracts: the canonical documents, their values and their envelope. Events become these;
targets read only these.
"""

from penstock.contracts.documents import (
    CONTRACTS,
    Contract,
    Document,
    Downtime,
    MaterialConsumption,
    Member,
    ProductionConfirmation,
    Scrap,
    read_body,
    read_member,
    to_body,
)
from penstock.contracts.envelope import (
    CONTENT_TYPE,
    check_envelope,
    decode_envelope,
    encode_envelope,
    source_urn,
)
from penstock.contracts.values import (
    Quantity,
    canonical_json,
    read_date,
    read_quantity,
    read_time,
    time_text,
)

__all__ = [
    "CONTENT_TYPE",
    "CONTRACTS",
    "Contract",
    "Document",
    "Downtime",
    "MaterialConsumption",
    "Member",
    "ProductionConfirmation",
    "Quantity",
    "Scrap",
    "canonical_json",
    "check_envelope",
    "decode_envelope",
    "encode_envelope",
    "read_body",
    "read_date",
    "read_member",
    "read_quantity",
    "read_time",
    "source_urn",
    "time_text",
    "to_body",
]
