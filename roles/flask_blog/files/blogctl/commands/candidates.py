"""Names that the shells' completion offers for more than one command."""

from __future__ import annotations

from ..shared import contract
from ..site import Site


def release_folders(site: Site) -> list[str]:
    """Return the whole releases of a site. Unlike their manifests, everybody may read their names."""
    return [path.name for path in site.path("releases").iterdir() if contract.is_whole(path.name)]
