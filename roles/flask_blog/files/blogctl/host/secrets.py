"""The mask of a site's secrets, for everything that blogctl prints or writes to the journal."""

from __future__ import annotations

from ..shared import mask
from ..site import Site

#: All secret values that this process has met. An activation that fails restores the previous settings, and its message
#: may hold the secrets of the next ones.
_met: set[str] = set()


def mask_of(site: Site) -> mask.Mask:
    """Return the mask of the secrets that a site has now, and of those that it had while this process ran."""
    if not mask.is_hidden(site.settings):
        return mask.NoMask()
    _met.update(mask.values_of_site(site.settings))
    return mask.mask_of(frozenset(_met))
