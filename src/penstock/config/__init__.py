"""Configuration: a TOML file becomes one immutable, checked Config, or every reason why not.

Standard library only. ``docs/config.md`` is the page for people, ``penstock.schema.json`` the one
for editors.
"""

from penstock.config.core import options_for_core, to_ns
from penstock.config.load import load_config, parse_config
from penstock.config.model import (
    Config,
    ConfigErrors,
    DocumentMapping,
    EngineOptions,
    FieldMap,
    Level,
    Notice,
    Ops,
    Plant,
    Rule,
    Source,
    Target,
)
from penstock.config.secret import Secret

__all__ = [
    "Config",
    "ConfigErrors",
    "DocumentMapping",
    "EngineOptions",
    "FieldMap",
    "Level",
    "Notice",
    "Ops",
    "Plant",
    "Rule",
    "Secret",
    "Source",
    "Target",
    "load_config",
    "options_for_core",
    "parse_config",
    "to_ns",
]
