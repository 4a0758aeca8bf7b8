mock_provider "google" {}

variables {
  project_id   = "example-project"
  region       = "europe-west1"
  service_name = "image-api"
  domains      = ["images.example.com"]
  delivery     = { service_name = "image-delivery", domain = "pictures.example.com", cdn = true }
}

run "no_delivery_by_default" {
  command = plan

  variables {
    delivery = null
  }

  assert {
    condition     = length(google_compute_backend_service.delivery) + length(google_compute_security_policy.delivery) == 0 && [for matcher in google_compute_url_map.https.path_matcher : matcher.name] == ["api", "candidate"]
    error_message = "Something of delivery is there."
  }
}

run "delivery_has_its_own_service_behind_it" {
  command = plan

  assert {
    condition = { for name, group in google_compute_region_network_endpoint_group.delivery : name => coalesce(group.cloud_run[0].tag, "traffic") if group.cloud_run[0].service == "image-delivery" && group.network_endpoint_type == "SERVERLESS" } == {
      delivery           = "traffic"
      delivery-candidate = "candidate"
    }
    error_message = "Another service, or another revision."
  }
}

run "delivery_is_reached_by_its_hosts_alone" {
  command = plan

  assert {
    condition = { for rule in google_compute_url_map.https.host_rule : join(",", rule.hosts) => rule.path_matcher } == {
      "*"                              = "api"
      "candidate.images.example.com"   = "candidate"
      "candidate.pictures.example.com" = "delivery-candidate"
      "pictures.example.com"           = "delivery"
    }
    error_message = "A host leads elsewhere."
  }
}

run "delivery_has_certificates_of_its_own" {
  command = plan

  assert {
    condition = toset([for certificate in google_certificate_manager_certificate.this : join(",", certificate.managed[0].domains)]) == toset([
      "images.example.com", "candidate.images.example.com", "pictures.example.com", "candidate.pictures.example.com",
    ])
    error_message = "A host has no certificate, or shares one that changes with it."
  }
}

run "cdn_serves_nothing_beyond_its_end" {
  command = plan

  assert {
    condition     = google_compute_backend_service.delivery["delivery"].cdn_policy[0].serve_while_stale == 0
    error_message = "Addresses that ended are served for another day."
  }
}

run "cdn_stores_no_refusal_by_itself" {
  command = plan

  assert {
    condition     = google_compute_backend_service.delivery["delivery"].cdn_policy[0].negative_caching == false
    error_message = "A picture that was just made is refused for minutes."
  }
}

run "cdn_stores_what_the_service_allows_for_as_long_as_it_says" {
  command = plan

  assert {
    condition     = google_compute_backend_service.delivery["delivery"].enable_cdn && google_compute_backend_service.delivery["delivery"].cdn_policy[0].cache_mode == "USE_ORIGIN_HEADERS"
    error_message = "The cache decides by itself."
  }
}

run "cdn_ignores_query_strings" {
  command = plan

  assert {
    condition     = google_compute_backend_service.delivery["delivery"].cdn_policy[0].cache_key_policy[0].include_query_string == false && google_compute_backend_service.delivery["delivery"].cdn_policy[0].cache_key_policy[0].include_host
    error_message = "Any query string makes the service answer again."
  }
}

run "candidate_of_delivery_is_never_cached" {
  command = plan

  assert {
    condition     = google_compute_backend_service.delivery["delivery-candidate"].enable_cdn == false && length(google_compute_backend_service.delivery["delivery-candidate"].cdn_policy) == 0
    error_message = "A rollout tries what the previous revision answered."
  }
}

run "nothing_of_delivery_is_cached_unless_asked" {
  command = plan

  variables {
    delivery = { service_name = "image-delivery", domain = "pictures.example.com" }
  }

  assert {
    condition     = alltrue([for service in google_compute_backend_service.delivery : service.enable_cdn == false && length(service.cdn_policy) == 0])
    error_message = "A cache that nobody asked for."
  }
}

run "addresses_of_pictures_are_not_logged" {
  command = plan

  assert {
    condition     = alltrue([for service in google_compute_backend_service.delivery : service.log_config[0].enable == false])
    error_message = "Whoever reads the log can see the pictures."
  }
}

run "schemes_of_delivery_are_said" {
  command = plan

  assert {
    condition     = alltrue([for service in google_compute_backend_service.delivery : service.load_balancing_scheme == "EXTERNAL_MANAGED"])
    error_message = "The scheme is left to the provider."
  }
}

run "delivery_is_throttled_and_nothing_else" {
  command = plan

  assert {
    condition = toset([for rule in google_compute_security_policy.delivery[0].rule : "${rule.priority} ${rule.action} ${rule.match[0].versioned_expr}"]) == toset([
      "2000 throttle SRC_IPS_V1",
      "2147483647 allow SRC_IPS_V1",
    ])
    error_message = "A rule on paths refuses signatures that look like attacks."
  }
}

run "an_address_may_ask_for_many_pictures" {
  command = plan

  variables {
    delivery = { service_name = "image-delivery", domain = "pictures.example.com", requests_per_minute = 900 }
  }

  assert {
    condition     = one([for rule in google_compute_security_policy.delivery[0].rule : rule.rate_limit_options[0] if rule.action == "throttle"]).rate_limit_threshold[0].count == 900 && one([for rule in google_compute_security_policy.delivery[0].rule : rule.rate_limit_options[0] if rule.action == "throttle"]).exceed_action == "deny(429)" && one([for rule in google_compute_security_policy.delivery[0].rule : rule.rate_limit_options[0] if rule.action == "throttle"]).enforce_on_key == "IP"
    error_message = "Another limit."
  }
}

run "host_of_the_api_is_refused" {
  command = plan

  variables {
    delivery = { service_name = "image-delivery", domain = "candidate.images.example.com" }
  }

  expect_failures = [var.delivery]
}

run "wildcard_for_delivery_is_refused" {
  command = plan

  variables {
    delivery = { service_name = "image-delivery", domain = "*.example.com" }
  }

  expect_failures = [var.delivery]
}

run "tight_throttle_of_delivery_is_refused" {
  command = plan

  variables {
    delivery = { service_name = "image-delivery", domain = "pictures.example.com", requests_per_minute = 1 }
  }

  expect_failures = [var.delivery]
}
