locals {
  # Bodies that can look like an attack, so that these rules skip them: pictures, and addresses. A test compares the
  # paths with the OpenAPI document and the forms of the console.
  unscanned_paths = join("|", [
    "/api/v1/(classify|delivery/resign|images|images/import|imports|upload|webhooks|webhooks/[^/]+)",
    "/console/(images/upload|operations/import|operations/import-urls|webhooks|webhooks/[^/]+/change)",
  ])
  is_unscanned = "request.method.matches('^(PATCH|POST)$') && request.path.matches('^(${local.unscanned_paths})$')"

  waf_rules = {
    sqli-v33-stable             = 1000
    xss-v33-stable              = 1010
    lfi-v33-stable              = 1020
    rfi-v33-stable              = 1030
    rce-v33-stable              = 1040
    scannerdetection-v33-stable = 1050
    protocolattack-v33-stable   = 1060
    sessionfixation-v33-stable  = 1070
  }
}

resource "google_compute_security_policy" "this" {
  project     = var.project_id
  name        = "${var.name}-edge"
  description = "Refuses known attacks, and slows down whoever asks too often."
  type        = "CLOUD_ARMOR"

  adaptive_protection_config {
    layer_7_ddos_defense_config {
      enable = true
    }
  }

  advanced_options_config {
    json_parsing = "STANDARD"
    log_level    = "NORMAL"
  }

  rule {
    action      = "deny(403)"
    priority    = 900
    description = "Log4Shell and its like, in every request."

    match {
      expr {
        expression = "evaluatePreconfiguredExpr('cve-canary')"
      }
    }
  }

  dynamic "rule" {
    for_each = local.waf_rules

    content {
      action      = "deny(403)"
      priority    = rule.value
      description = rule.key

      match {
        expr {
          expression = "!(${local.is_unscanned}) && evaluatePreconfiguredWaf('${rule.key}', {'sensitivity': 1})"
        }
      }
    }
  }

  rule {
    action      = "throttle"
    priority    = 2000
    description = "One address may not ask without end."

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = var.throttle.requests_per_minute
        interval_sec = 60
      }
    }
  }

  rule {
    action      = "allow"
    priority    = 2147483647
    description = "Everything else; keys guard the API itself."

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}
