"""A verdict as one line, and as pairs of name and value."""

from __future__ import annotations

from typing import Any

from .report import claim_text, interval_text


def verdict_line(evidence: dict[str, Any]) -> str:
    """A factory's verdict in one line: the claim's, and those against its baseline."""
    claim, *others = evidence["verdicts"]
    parts = [
        f"convergence: {evidence['name']} {claim_text(evidence)}: {claim['colour']}, "
        f"{claim['successes']} of {claim['trials']} (95 % interval "
        f"{interval_text(tuple(claim['interval']))})",
        *(f"{verdict['hypothesis']}: {verdict['colour']}" for verdict in others),
        f"{evidence['summary']['seconds']:.0f} s",
    ]
    return "; ".join(parts)


def verdict_properties(evidence: dict[str, Any]) -> list[tuple[str, str]]:
    """The main figures as pairs of name and value, for a JUnit file."""
    claim, *others = evidence["verdicts"]
    pairs = {
        "factory": evidence["name"],
        "recipe": evidence["recipe"],
        "target": evidence["target"],
        "claim": claim_text(evidence),
        "verdict": claim["colour"],
        "successes": claim["successes"],
        "trials": claim["trials"],
        "interval_95": interval_text(tuple(claim["interval"])),
        **{verdict["hypothesis"].replace(" ", "_"): verdict["colour"] for verdict in others},
        "outcomes_missed": evidence["failures"],
        "failed_seeds": " ".join(str(seed) for seed in evidence["failed_seeds"]),
        "symptoms": "; ".join(evidence["symptoms"]),
        "hypotheses": evidence["hypotheses"],
        "seconds": evidence["summary"]["seconds"],
    }
    return [(f"convergence.{name}", str(value)) for name, value in pairs.items() if value != ""]
