"""Where a real host's errors are read from, a file each: what they share is `port.Source`."""
