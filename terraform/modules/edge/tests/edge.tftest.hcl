mock_provider "google" {}

variables {
  project_id   = "example-project"
  region       = "europe-west1"
  service_name = "image-api"
  domains      = ["images.example.com"]
}

run "example_plans" {
  command = plan

  module {
    source = "./example"
  }
}

run "scheme_is_said" {
  command = plan

  assert {
    condition     = google_compute_backend_service.api.load_balancing_scheme == "EXTERNAL_MANAGED" && google_compute_global_forwarding_rule.https.load_balancing_scheme == "EXTERNAL_MANAGED" && google_compute_global_forwarding_rule.redirect.load_balancing_scheme == "EXTERNAL_MANAGED"
    error_message = "The scheme is left to the provider."
  }
}

run "api_is_never_cached" {
  command = plan

  assert {
    condition     = google_compute_backend_service.api.enable_cdn == false
    error_message = "Answers of the API are cached."
  }
}

run "nothing_is_cached_by_default" {
  command = plan

  assert {
    condition     = length(google_compute_backend_service.cached) == 0 && flatten([for matcher in google_compute_url_map.https.path_matcher : [for rule in matcher.path_rule : "${matcher.name} ${join(",", rule.paths)}"]]) == ["api /s/*", "candidate /s/*"]
    error_message = "Something is cached."
  }
}

run "named_paths_are_cached" {
  command = plan

  variables {
    cached_paths = ["/public/*"]
  }

  assert {
    condition     = toset(flatten([for matcher in google_compute_url_map.https.path_matcher : [for rule in matcher.path_rule : rule.paths] if matcher.name == "api"])) == toset(["/s/*", "/public/*"])
    error_message = "Other paths are cached."
  }
}

run "only_what_the_service_calls_public_is_cached" {
  command = plan

  variables {
    cached_paths = ["/public/*"]
  }

  assert {
    condition     = google_compute_backend_service.cached[0].cdn_policy[0].cache_mode == "USE_ORIGIN_HEADERS" && google_compute_backend_service.cached[0].cdn_policy[0].bypass_cache_on_request_headers[0].header_name == "X-API-KEY"
    error_message = "The cache decides by itself."
  }
}

run "injections_are_refused" {
  command = plan

  assert {
    condition     = length([for rule in google_compute_security_policy.this.rule : rule if rule.action == "deny(403)" && strcontains(try(rule.match[0].expr[0].expression, ""), "sqli-v33-stable")]) == 1
    error_message = "SQL injections come through."
  }
}

run "log4shell_is_refused" {
  command = plan

  assert {
    condition     = length([for rule in google_compute_security_policy.this.rule : rule if rule.action == "deny(403)" && strcontains(try(rule.match[0].expr[0].expression, ""), "cve-canary")]) == 1
    error_message = "Log4Shell comes through."
  }
}

run "pictures_are_not_taken_for_attacks" {
  command = plan

  assert {
    condition     = alltrue([for rule in google_compute_security_policy.this.rule : startswith(rule.match[0].expr[0].expression, "!(request.method.matches('^(PATCH|POST)$') && request.path.matches('^(/api/v1/") if rule.priority >= 1000 && rule.priority < 2000])
    error_message = "Uploads meet the rules."
  }
}

run "addresses_are_throttled" {
  command = plan

  assert {
    condition     = one([for rule in google_compute_security_policy.this.rule : rule if rule.action == "throttle"]).rate_limit_options[0].rate_limit_threshold[0].count == 1200 && one([for rule in google_compute_security_policy.this.rule : rule if rule.action == "throttle"]).rate_limit_options[0].enforce_on_key == "IP"
    error_message = "An address may ask without end."
  }
}

run "throttled_callers_get_429" {
  command = plan

  assert {
    condition     = one([for rule in google_compute_security_policy.this.rule : rule if rule.action == "throttle"]).rate_limit_options[0].exceed_action == "deny(429)"
    error_message = "Another answer."
  }
}

run "tls_is_modern" {
  command = plan

  assert {
    condition     = google_compute_ssl_policy.this.min_tls_version == "TLS_1_2" && google_compute_ssl_policy.this.profile == "MODERN"
    error_message = "Old TLS is spoken."
  }
}

run "http_is_redirected" {
  command = plan

  assert {
    condition     = google_compute_url_map.redirect.default_url_redirect[0].https_redirect && google_compute_url_map.redirect.default_service == null
    error_message = "Plain HTTP is answered."
  }
}

run "each_host_has_a_certificate_of_its_own" {
  command = plan

  variables {
    domains = ["images.example.com", "pictures.example.com"]
  }

  assert {
    condition     = toset([for certificate in google_certificate_manager_certificate.this : join(",", certificate.managed[0].domains)]) == toset(["images.example.com", "pictures.example.com", "candidate.images.example.com"])
    error_message = "A host has no certificate, or shares one that changes with it."
  }
}

run "certificates_are_proved_before_traffic_comes" {
  command = plan

  assert {
    condition     = alltrue([for host, authorization in google_certificate_manager_dns_authorization.this : authorization.domain == host && authorization.type == "PER_PROJECT_RECORD"]) && length(google_certificate_manager_dns_authorization.this) == 2
    error_message = "A certificate waits for traffic that waits for the certificate."
  }
}

run "each_host_is_answered_with_its_certificate" {
  command = plan

  assert {
    condition     = toset([for entry in google_certificate_manager_certificate_map_entry.this : entry.hostname]) == toset(["images.example.com", "candidate.images.example.com"]) && alltrue([for entry in google_certificate_manager_certificate_map_entry.this : entry.map == "image-manager-edge"])
    error_message = "A host is answered without a certificate."
  }
}

run "candidate_is_reached_by_its_tag" {
  command = plan

  assert {
    condition     = google_compute_region_network_endpoint_group.candidate.cloud_run[0].tag == "candidate" && google_compute_region_network_endpoint_group.candidate.cloud_run[0].service == "image-api"
    error_message = "A rollout tries another revision than its own."
  }
}

run "candidate_has_a_host_of_its_own" {
  command = plan

  assert {
    condition     = one([for rule in google_compute_url_map.https.host_rule : rule.path_matcher if contains(rule.hosts, "candidate.images.example.com")]) == "candidate" && output.candidate_url == "https://candidate.images.example.com"
    error_message = "The candidate is not reached."
  }
}

run "candidate_is_behind_cloud_armor_and_no_cache" {
  command = plan

  assert {
    condition     = google_compute_backend_service.candidate.enable_cdn == false && google_compute_backend_service.candidate.load_balancing_scheme == "EXTERNAL_MANAGED"
    error_message = "The candidate is cached."
  }
}

run "malformed_tag_is_refused" {
  command = plan

  variables {
    candidate_tag = "Candidate!"
  }

  expect_failures = [var.candidate_tag]
}

run "service_is_behind_it" {
  command = plan

  assert {
    condition     = google_compute_region_network_endpoint_group.api.cloud_run[0].service == "image-api" && google_compute_region_network_endpoint_group.api.network_endpoint_type == "SERVERLESS"
    error_message = "Another service."
  }
}

run "requests_are_logged" {
  command = plan

  assert {
    condition     = google_compute_backend_service.api.log_config[0].enable && google_compute_backend_service.api.log_config[0].sample_rate == 1
    error_message = "Requests are not logged."
  }
}

run "no_domain_is_refused" {
  command = plan

  variables {
    domains = []
  }

  expect_failures = [var.domains]
}

run "wildcard_is_refused" {
  command = plan

  variables {
    domains = ["*.example.com"]
  }

  expect_failures = [var.domains]
}

run "tight_throttle_is_refused" {
  command = plan

  variables {
    throttle = { requests_per_minute = 1 }
  }

  expect_failures = [var.throttle]
}

run "caching_the_api_is_refused" {
  command = plan

  variables {
    cached_paths = ["/api/v1/images/*"]
  }

  expect_failures = [var.cached_paths]
}

run "caching_share_links_is_refused" {
  command = plan

  variables {
    cached_paths = ["/s/*"]
  }

  expect_failures = [var.cached_paths]
}

run "caching_everything_is_refused" {
  command = plan

  variables {
    cached_paths = ["/*"]
  }

  expect_failures = [var.cached_paths]
}

run "long_name_is_refused" {
  command = plan

  variables {
    name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  }

  expect_failures = [var.name]
}

run "zone_is_refused" {
  command = plan

  variables {
    region = "europe-west1-b"
  }

  expect_failures = [var.region]
}

run "malformed_project_is_refused" {
  command = plan

  variables {
    project_id = "Example"
  }

  expect_failures = [var.project_id]
}
