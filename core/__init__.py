"""Pure decisions: events in, effects out. Nothing here touches clock, randomness, network, disk or kernel."""
