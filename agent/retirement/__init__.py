"""From a verdict to a page at rest: the case and its table, the ladder, and who drives them."""
