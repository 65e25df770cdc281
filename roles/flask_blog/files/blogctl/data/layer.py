"""Choose a site's data layer."""

from __future__ import annotations

from ..site import Site
from .interface import DataLayer
from .sqlite import SQLite


def data_layer(site: Site) -> DataLayer:
    """Return the data layer of a site's databases."""
    return SQLite(site)
