"""What the broker is given in each variant of an evaluation, from nothing at all to everything.

V0 shows that the harness can fail. V1 to V4 leave parts of the policies out, so that what
each part gives can be told; V5 is the policies whole, and V6 the same with a person who
answers. Variants with a plan are always played with both: the plan a model wrote, and that
plan with the tools it forgot.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Literal

from permissions.errors import ConfigError
from permissions.pdp.bundle import PolicyBundle

if TYPE_CHECKING:
    from collections.abc import Iterable

PlanKind = Literal["none", "recorded", "complete"]
TAINT = "taint/taint.rego"


@dataclass(frozen=True, slots=True)
class Variant:
    """One configuration of the broker.

    Attributes:
        without: policy packages that are left out.
        taint: whether any effect after untrusted text needs a person.
        plans: which plans are declared; `none` for no plan.
        decides: false when everything is allowed.
        asks: whether a person answers what the broker asks.
    """

    name: str
    text: str
    without: frozenset[str] = frozenset()
    taint: bool = False
    plans: tuple[PlanKind, ...] = ("none",)
    decides: bool = True
    asks: bool = False


_NO_PLAN_NO_ORIGIN = frozenset({"plan", "provenance"})
_PLANS: tuple[PlanKind, ...] = ("recorded", "complete")

VARIANTS: dict[str, Variant] = {
    each.name: each
    for each in (
        Variant("V0", "everything is allowed (checks the harness)", decides=False),
        Variant("V1", "manifests and tables only", without=_NO_PLAN_NO_ORIGIN),
        Variant(
            "V2", "V1, and effects after untrusted text", without=_NO_PLAN_NO_ORIGIN, taint=True
        ),
        Variant("V3", "V1 and a plan", without=frozenset({"provenance"}), plans=_PLANS),
        Variant(
            "V4",
            "V2 and a plan",
            without=frozenset({"provenance"}),
            taint=True,
            plans=_PLANS,
        ),
        Variant("V5", "the policies whole, with and without a plan", plans=("none", *_PLANS)),
        Variant("V6", "V5, and a careless person answers", plans=("none", *_PLANS), asks=True),
    )
}


def chosen_variants(names: Iterable[str]) -> list[Variant]:
    """Variants by name.

    Raises:
        ConfigError: there is none of that name.
    """
    chosen = []
    for name in names:
        if name not in VARIANTS:
            raise ConfigError(f"{name!r:.40} is no variant; there are {', '.join(VARIANTS)}")
        chosen.append(VARIANTS[name])
    return chosen


def bundle_of(variant: Variant, whole: PolicyBundle) -> PolicyBundle:
    """The policies of a variant: the bundle given, less what it leaves out, plus its own."""
    modules = {
        path: text
        for path, text in whole.modules.items()
        if path.split("/", 1)[0] not in variant.without
    }
    if variant.taint:
        modules[TAINT] = resources.files("permissions.evaluation").joinpath(TAINT).read_text()
    return PolicyBundle.of(modules, whole.data)
