"""The hardware: memory, the faults in it, and the bank that reports them. Pure, and no clock."""
