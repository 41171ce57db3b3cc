"""The name server: a process of its own beside the agent, so that neither a flood of queries nor gossip disturbs the
other."""
