"""Where derived files are kept between runs."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """``TOPICGEN_CACHE``, or the platform's cache folder for topicgen; it may be deleted at any time."""
    return Path(os.environ.get("TOPICGEN_CACHE") or user_cache_path("topicgen", appauthor=False))
