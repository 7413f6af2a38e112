"""plan: a recipe out of a fingerprint of the dataset, the machine and a dry run, with a reason for each value."""

from ensemble_mammo.workflows.plan.options import PlanOptions
from ensemble_mammo.workflows.plan.run import plan
from ensemble_mammo.workflows.plan.written import Planned

__all__ = ["PlanOptions", "Planned", "plan"]
