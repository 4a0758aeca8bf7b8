# Pages of share links, which the API serves. Whoever reads the address of one can see its pictures, so nothing here
# writes it down: no log, no rule that looks for attacks (a password can look like one), and no adaptive protection,
# whose alerts may quote paths.
locals {
  link_paths = ["/s/*"]

  link_groups = {
    links           = google_compute_region_network_endpoint_group.api.id
    links-candidate = google_compute_region_network_endpoint_group.candidate.id
  }
}

resource "google_compute_backend_service" "links" {
  for_each = local.link_groups

  project               = var.project_id
  name                  = "${var.name}-${each.key}"
  description           = each.key == "links" ? "Pages of share links, never cached." : "The same of the revision that a rollout tries."
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.links.id
  enable_cdn            = false

  backend {
    group = each.value
  }

  log_config {
    enable = false
  }
}

resource "google_compute_security_policy" "links" {
  project     = var.project_id
  name        = "${var.name}-links"
  description = "Slows down whoever asks too often for share links."
  type        = "CLOUD_ARMOR"

  advanced_options_config {
    json_parsing = "DISABLED"
    log_level    = "NORMAL"
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
    description = "Everything else; tokens and passwords guard the links."

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}
