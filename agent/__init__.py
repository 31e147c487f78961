"""pagewarden's agent."""
