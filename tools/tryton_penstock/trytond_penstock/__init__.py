# SPDX-License-Identifier: GPL-3.0-or-later
"""Tryton module `penstock`: one posting key, one document; machine downtime records."""
