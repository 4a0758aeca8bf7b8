mock_provider "google" {}

variables {
  project_id   = "example-project"
  region       = "europe-west1"
  service_name = "image-api"
  domains      = ["images.example.com"]
}

run "share_links_are_not_logged" {
  command = plan

  assert {
    condition     = { for name, service in google_compute_backend_service.links : name => service.log_config[0].enable } == { links = false, links-candidate = false }
    error_message = "Whoever reads the log can open the links."
  }
}

run "share_links_are_never_cached" {
  command = plan

  assert {
    condition     = alltrue([for service in google_compute_backend_service.links : service.enable_cdn == false && length(service.cdn_policy) == 0 && service.load_balancing_scheme == "EXTERNAL_MANAGED"])
    error_message = "A link that ended is still shown, or the scheme is left to the provider."
  }
}

run "share_links_are_throttled_and_nothing_else" {
  command = plan

  variables {
    throttle = { requests_per_minute = 900 }
  }

  assert {
    condition = toset([for rule in google_compute_security_policy.links.rule : "${rule.priority} ${rule.action} ${rule.match[0].versioned_expr}"]) == toset([
      "2000 throttle SRC_IPS_V1",
      "2147483647 allow SRC_IPS_V1",
    ])
    error_message = "A rule takes passwords for attacks."
  }
}

run "an_address_may_ask_for_as_many_share_links_as_for_anything_else" {
  command = plan

  variables {
    throttle = { requests_per_minute = 900 }
  }

  assert {
    condition     = [for limit in flatten([for rule in google_compute_security_policy.links.rule : rule.rate_limit_options if rule.action == "throttle"]) : "${limit.enforce_on_key} ${limit.rate_limit_threshold[0].count} in ${limit.rate_limit_threshold[0].interval_sec} s, ${limit.exceed_action}"] == ["IP 900 in 60 s, deny(429)"]
    error_message = "Another limit."
  }
}

run "no_alert_quotes_a_share_link" {
  command = plan

  assert {
    condition     = length(google_compute_security_policy.links.adaptive_protection_config) == 0 && google_compute_security_policy.links.advanced_options_config[0].log_level == "NORMAL"
    error_message = "Alerts of adaptive protection may contain paths, and so may verbose logs."
  }
}

run "policies_and_url_maps_are_named" {
  command = plan

  assert {
    condition     = output.security_policy_names == ["image-manager-edge", "image-manager-links"] && output.url_map_names == ["image-manager-https", "image-manager-redirect"]
    error_message = "Nobody sees whom they refuse, or the log keeps what passes them."
  }
}
