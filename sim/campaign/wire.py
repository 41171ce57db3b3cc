"""What was found out, as text between processes."""

from __future__ import annotations

import json
from dataclasses import asdict

from sim.campaign.result import Finding, Result


def text_of(finding: Finding) -> str:
    """Write a finding on one line."""
    return json.dumps(asdict(finding))


def finding_of(text: str) -> Finding:
    """Read a finding that `text_of` wrote."""
    record = json.loads(text)
    return Finding(Result(**record["result"]), record["scenario"])
