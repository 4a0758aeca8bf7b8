resource "google_compute_region_network_endpoint_group" "api" {
  project               = var.project_id
  region                = var.region
  name                  = "${var.name}-api"
  description           = "The API's Cloud Run service."
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = var.service_name
  }
}

resource "google_compute_backend_service" "api" {
  project               = var.project_id
  name                  = "${var.name}-api"
  description           = "The API, never cached."
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.this.id
  enable_cdn            = false

  backend {
    group = google_compute_region_network_endpoint_group.api.id
  }

  log_config {
    enable      = true
    sample_rate = 1
  }
}

resource "google_compute_region_network_endpoint_group" "candidate" {
  project               = var.project_id
  region                = var.region
  name                  = "${var.name}-candidate"
  description           = "The API's revision that a rollout tries before it takes any traffic."
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = var.service_name
    tag     = var.candidate_tag
  }
}

resource "google_compute_backend_service" "candidate" {
  project               = var.project_id
  name                  = "${var.name}-candidate"
  description           = "The revision that a rollout tries, never cached."
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.this.id
  enable_cdn            = false

  backend {
    group = google_compute_region_network_endpoint_group.candidate.id
  }

  log_config {
    enable      = true
    sample_rate = 1
  }
}

resource "google_compute_backend_service" "cached" {
  count = length(var.cached_paths) > 0 ? 1 : 0

  project               = var.project_id
  name                  = "${var.name}-cached"
  description           = "The same service, for paths that a cache may keep."
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.this.id
  enable_cdn            = true

  backend {
    group = google_compute_region_network_endpoint_group.api.id
  }

  cdn_policy {
    # Caches only responses that the service marks as public, and never those that depend on a caller's key.
    cache_mode                   = "USE_ORIGIN_HEADERS"
    signed_url_cache_max_age_sec = 0

    cache_key_policy {
      include_host         = true
      include_protocol     = true
      include_query_string = true
    }

    bypass_cache_on_request_headers {
      header_name = "X-API-KEY"
    }
  }

  log_config {
    enable      = true
    sample_rate = 1
  }
}
