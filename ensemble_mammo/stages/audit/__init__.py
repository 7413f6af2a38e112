"""audit: what is wrong with files, with the division into splits, and with what tells a label."""

from ensemble_mammo.stages.audit.result import Audit
from ensemble_mammo.stages.audit.run import AuditOptions, audit

__all__ = ["Audit", "AuditOptions", "audit"]
