"""What the agent declared it would do, verified before step 1 and held to at each call."""
