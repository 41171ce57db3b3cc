"""The deterministic simulator: the production Replica in a world made of one seed.

    from sim import draw, explore, play, show, shrink

    report = play(draw(17), profile="all")      # what a seed stands for
    show(report)                                # in a notebook: its picture
    print(explore(range(300)))                  # many seeds, in all processors

These are the names for scripts and notebooks; `docs/tutorial/simulator.md` shows them at work.
"""

from __future__ import annotations

from sim import actions as actions
from sim.draw import draw as draw
from sim.explore import Campaign as Campaign
from sim.explore import explore as explore
from sim.run import Report as Report
from sim.run import play as play
from sim.scenario import HostSpec as HostSpec
from sim.scenario import Scenario as Scenario
from sim.scenario import Step as Step
from sim.scenario import dump as dump
from sim.scenario import load as load
from sim.seeds import run_seed as run_seed
from sim.shrink import Shrunk as Shrunk
from sim.shrink import shrink as shrink
from sim.timeline import Picture as Picture
from sim.timeline import show as show
