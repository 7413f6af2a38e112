"""The sections of a report, a module each with `section(study)`; beside them what they share."""
