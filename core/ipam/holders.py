"""What people ask about who holds which address; nothing here waits."""

from __future__ import annotations

from core.context import Context
from core.effects import Answer, Ok
from core.events import Free, Lookup
from core.ipam.held import Held
from core.ipam.universe import subnets_of
from core.types import Cidr, RequestId, address_of


def look_up(context: Context, held: Held, request: RequestId, command: Lookup) -> None:
    """Answer with what the ident holds, at once."""
    cidrs = held.of(command.ident)
    if command.subnet:
        try:
            subnets = subnets_of(command.subnet)
        except ValueError as error:
            context.refuse(request, str(error))
            return
        cidrs = tuple(cidr for cidr in cidrs if any(cidr.address in subnet for subnet in subnets))
    # Nothing was decided, so nothing has to be durable first.
    context.emit(Answer(request, Ok(" ".join(str(cidr) for cidr in cidrs))))


def meant(context: Context, held: Held, request: RequestId, command: Free) -> tuple[Cidr, ...]:
    """Return what shall be given back; nothing when the request had to be refused."""
    cidrs = held.of(command.ident)
    if command.address:
        try:
            address = address_of(command.address)
        except ValueError as error:
            context.refuse(request, f"Unable to free: {error}")
            return ()
        cidrs = tuple(cidr for cidr in cidrs if cidr.address == address)
        if not cidrs:
            text = f"Unable to free: Free: address {command.address} not found for {command.ident}"
            context.refuse(request, text)
    elif not cidrs:
        context.refuse(request, f"Delete: no addresses for {command.ident}")
    return cidrs
