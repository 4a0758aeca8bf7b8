"""The log sink keeps what the services write about the audit log, under the names that they write."""

import re
from pathlib import Path

from image_core.audit import events as audit

MODULE = Path(__file__).resolve().parents[2] / "terraform" / "modules" / "observability"


def test_the_sink_keeps_every_line_about_the_audit_log() -> None:
    (kept,) = re.findall(r"jsonPayload\.event=\((.*?)\)", (MODULE / "audit_log.tf").read_text())
    written = {value for name, value in vars(audit).items() if name.endswith("LOG_EVENT")}
    assert set(re.findall(r'\\"(\w+)\\"', kept)) == written
    assert written == {"audit", "audit_sealed", "audit_pruned"}
