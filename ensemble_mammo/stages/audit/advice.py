"""What a finding of the shortcut probes means, and what to do about it."""

from __future__ import annotations

from ensemble_mammo.records.preparation import Preparation

_MEANS = {
    "whole": "told from the whole image, beside which the other probes stand",
    "outside": "told with the breast blacked out",
    "strips": "told from grey levels of the four outermost strips",
    "blotted": "told with every lesion hidden",
    "thumbnail": "told from 32 x 32 pixels, in which no detail of a lesion is left",
    "facts": "told from what headers, sizes, dates and names say",
    "age": "told from age alone (no shortcut: age goes with disease)",
    "blots": "told from number, place and size of the lesions' boxes alone, which the blots give away",
    "collection": "told from the dataset that an image came from",
}
"""What each probe looks at."""


def advice(target: str, probe: str, told: bool, preparation: Preparation, strongest: str = "") -> str:
    """A sentence on what was told from what; where it should not be, what to do."""
    text = f"{target} {'' if told else 'hardly, or not, '}{_MEANS[probe]}"
    if probe == "facts" and strongest:
        text += f" (most of all: {strongest})"
    shown = probe in ("whole", "age", "blots")  # for comparison: nothing is to be done
    return f"{text}: {_what_to_do(target, probe, preparation)}" if told and not shown else text


def _what_to_do(target: str, probe: str, preparation: Preparation) -> str:
    if target == "split":
        return (
            "training and test differ in origin; unless another site is meant, prepare again and divide subjects at "
            "random with --split"
        )
    if target == "collection":
        return (
            "and the label goes with the collection; see that every collection holds every class in like shares, "
            "and give figures for each collection apart"
        )
    if probe == "facts":
        return "see that every value holds every class in like shares, or give figures for each value apart"
    if probe == "collection":
        return "see that every collection holds every class in like shares, and give figures for each apart"
    steps = _steps(probe, preparation)
    read = "read every figure as what it gains over this one"
    return f"prepare with {', '.join(steps)}; then {read}" if steps else f"prepare has no more to take away; {read}"


def _steps(probe: str, preparation: Preparation) -> list[str]:
    """The options of prepare that take away what tells, and are not in use."""
    steps = ["--outside black"] if preparation.outside != "black" else []
    if not preparation.crop and probe != "outside":
        steps.append("the breast cropped (without --no-crop)")
    if not preparation.trim:
        steps.append("--trim 0.05")
    if preparation.intensity in ("kept", "range", "rank") and probe != "outside":
        steps.append("--intensity local")
    return steps
