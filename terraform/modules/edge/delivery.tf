# Delivery has everything of its own but the address, so that adding it changes nothing that the API uses: a host,
# a certificate, a backend service and a policy.
locals {
  # Tag of the revision behind each backend service; null for the one that gets the traffic.
  delivery_tags = { for name in keys(local.delivery_hosts) : name => name == "delivery-candidate" ? var.candidate_tag : null }
}

resource "google_compute_region_network_endpoint_group" "delivery" {
  for_each = local.delivery_tags

  project               = var.project_id
  region                = var.region
  name                  = "${var.name}-${each.key}"
  description           = each.value == null ? "Delivery's Cloud Run service." : "Delivery's revision that a rollout tries before it takes any traffic."
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = var.delivery.service_name
    tag     = each.value
  }
}

resource "google_compute_backend_service" "delivery" {
  for_each = local.delivery_tags

  project               = var.project_id
  name                  = "${var.name}-${each.key}"
  description           = each.value == null ? "Delivery of pictures." : "Delivery's revision that a rollout tries, never cached."
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.delivery[0].id
  enable_cdn            = each.value == null && var.delivery.cdn

  backend {
    group = google_compute_region_network_endpoint_group.delivery[each.key].id
  }

  dynamic "cdn_policy" {
    for_each = each.value == null && var.delivery.cdn ? [true] : []

    content {
      # The service says for how long each picture may be stored. Everything beyond that is switched off: an address
      # that was revoked must be gone after ten minutes, and Google's default would serve it for another day.
      cache_mode                   = "USE_ORIGIN_HEADERS"
      serve_while_stale            = 0
      negative_caching             = false
      signed_url_cache_max_age_sec = 0

      cache_key_policy {
        include_host         = true
        include_protocol     = true
        include_query_string = false
      }
    }
  }

  # Whoever reads an address can see the picture.
  log_config {
    enable = false
  }

  lifecycle {
    # As Google answers, not as it was asked: for these two, it fills in defaults that serve what has ended.
    postcondition {
      condition     = alltrue([for policy in self.cdn_policy : policy.serve_while_stale == 0 && !policy.negative_caching])
      error_message = "Cloud CDN would serve pictures beyond their end. Apply again, and if that does not help, set delivery.cdn = false."
    }
  }
}

# No rules on paths or bodies: a signature can look like an attack, and the service compares every byte of an address.
resource "google_compute_security_policy" "delivery" {
  count = var.delivery == null ? 0 : 1

  project     = var.project_id
  name        = "${var.name}-delivery"
  description = "Slows down whoever asks too often for pictures."
  type        = "CLOUD_ARMOR"

  adaptive_protection_config {
    layer_7_ddos_defense_config {
      enable = true
    }
  }

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
        count        = var.delivery.requests_per_minute
        interval_sec = 60
      }
    }
  }

  rule {
    action      = "allow"
    priority    = 2147483647
    description = "Everything else; signatures guard the pictures."

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}
