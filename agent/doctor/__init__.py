"""Is this host fit to be guarded? Facts are gathered once; each check is a function of them."""
