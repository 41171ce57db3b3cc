"""Everything that can be done to a world, as data: what users and operators ask, and what goes wrong.

An action says what is done, never whether it may be done: `stage` decides that at the moment itself, and an action
that makes no sense then (detaching what is not attached) does not take place. So any part of a list of actions is
again a list of actions, which is what lets a failing run shrink. Nothing in an action is drawn: what remains to chance
(latencies, how much of an unsynced tail a power cut takes) belongs to the link or host and its own randomness.
"""

from __future__ import annotations

from sim.actions.host import HostIndex as HostIndex
from sim.actions.kernels import *  # noqa: F403
from sim.actions.kernels import KernelAction
from sim.actions.machines import *  # noqa: F403
from sim.actions.machines import MachineAction
from sim.actions.network import *  # noqa: F403
from sim.actions.network import NetworkAction
from sim.actions.people import *  # noqa: F403
from sim.actions.people import PeopleAction

Action = NetworkAction | MachineAction | KernelAction | PeopleAction
