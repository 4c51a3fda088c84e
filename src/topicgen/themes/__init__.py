"""From topics to themes: groups of topics with a name, kept in a registry and shown on a page."""
