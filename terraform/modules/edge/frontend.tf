resource "google_compute_global_address" "this" {
  project      = var.project_id
  name         = "${var.name}-edge"
  description  = "The address that the domains point to."
  address_type = "EXTERNAL"
  ip_version   = "IPV4"
}

resource "google_compute_ssl_policy" "this" {
  project         = var.project_id
  name            = "${var.name}-edge"
  description     = "TLS 1.2 and newer, with modern ciphers."
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_url_map" "https" {
  project         = var.project_id
  name            = "${var.name}-https"
  description     = "Delivery's hosts go to delivery, everything else to the API."
  default_service = google_compute_backend_service.api.id

  # Every host without a rule of its own: an address that is respelled by its host is not logged either.
  host_rule {
    hosts        = ["*"]
    path_matcher = "api"
  }

  path_matcher {
    name            = "api"
    default_service = google_compute_backend_service.api.id

    path_rule {
      paths   = local.link_paths
      service = google_compute_backend_service.links["links"].id
    }

    dynamic "path_rule" {
      for_each = length(var.cached_paths) > 0 ? [var.cached_paths] : []

      content {
        paths   = path_rule.value
        service = google_compute_backend_service.cached[0].id
      }
    }
  }

  host_rule {
    hosts        = [local.candidate_domain]
    path_matcher = "candidate"
  }

  path_matcher {
    name            = "candidate"
    default_service = google_compute_backend_service.candidate.id

    path_rule {
      paths   = local.link_paths
      service = google_compute_backend_service.links["links-candidate"].id
    }
  }

  dynamic "host_rule" {
    for_each = local.delivery_hosts

    content {
      hosts        = [host_rule.value]
      path_matcher = host_rule.key
    }
  }

  dynamic "path_matcher" {
    for_each = local.delivery_hosts

    content {
      name            = path_matcher.key
      default_service = google_compute_backend_service.delivery[path_matcher.key].id
    }
  }
}

resource "google_compute_target_https_proxy" "this" {
  project         = var.project_id
  name            = "${var.name}-https"
  url_map         = google_compute_url_map.https.id
  certificate_map = "//certificatemanager.googleapis.com/${google_certificate_manager_certificate_map.this.id}"
  ssl_policy      = google_compute_ssl_policy.this.id
}

resource "google_compute_global_forwarding_rule" "https" {
  project               = var.project_id
  name                  = "${var.name}-https"
  target                = google_compute_target_https_proxy.this.id
  ip_address            = google_compute_global_address.this.id
  port_range            = "443"
  load_balancing_scheme = "EXTERNAL_MANAGED"
}

# Plain HTTP only redirects to HTTPS.
resource "google_compute_url_map" "redirect" {
  project     = var.project_id
  name        = "${var.name}-redirect"
  description = "From http to https."

  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "MOVED_PERMANENTLY_DEFAULT"
    strip_query            = false
  }
}

resource "google_compute_target_http_proxy" "redirect" {
  project = var.project_id
  name    = "${var.name}-redirect"
  url_map = google_compute_url_map.redirect.id
}

resource "google_compute_global_forwarding_rule" "redirect" {
  project               = var.project_id
  name                  = "${var.name}-redirect"
  target                = google_compute_target_http_proxy.redirect.id
  ip_address            = google_compute_global_address.this.id
  port_range            = "80"
  load_balancing_scheme = "EXTERNAL_MANAGED"
}
