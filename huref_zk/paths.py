"""Where shipped files, caches and the registry lie."""

from __future__ import annotations

from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parent
DATA = PACKAGE / "data"
# In a checkout (or an editable install) circuits/ and keys/ stand beside the package; in a wheel
# they are packed inside it.
CHECKOUT = PACKAGE.parent if (PACKAGE.parent / "keys" / "manifest.json").exists() else None
_SHIPPED = CHECKOUT or PACKAGE / "shipped"
SHIPPED_KEYS = _SHIPPED / "keys"
SHIPPED_CIRCUITS = _SHIPPED / "circuits"


def default_cache() -> Path:
    """Folder for derived keys and SRS files: keys/cache in a checkout, else the user's cache."""
    if CHECKOUT:
        return CHECKOUT / "keys" / "cache"
    return Path(platformdirs.user_cache_dir("huref-zk")) / "keys"


def default_registry() -> Path:
    """The user's own registry of fingerprints; not in a checkout, as it is no cache."""
    return Path(platformdirs.user_data_dir("huref-zk")) / "registry.sqlite"
