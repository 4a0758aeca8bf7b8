# What refers to what, which is known only once it was applied; apart from the other tests, so that those can share plans.
mock_provider "google" {}

variables {
  project_id   = "example-project"
  region       = "europe-west1"
  service_name = "image-api"
  domains      = ["images.example.com"]
  delivery     = { service_name = "image-delivery", domain = "pictures.example.com", cdn = true }
}

run "each_policy_guards_its_own_backends" {
  command = apply

  assert {
    condition     = alltrue([for service in google_compute_backend_service.delivery : service.security_policy == google_compute_security_policy.delivery[0].id]) && google_compute_backend_service.api.security_policy == google_compute_security_policy.this.id && google_compute_security_policy.this.id != google_compute_security_policy.delivery[0].id
    error_message = "Pictures meet the rules of the API, or the API none."
  }
}

run "each_host_leads_to_its_backend" {
  command = apply

  assert {
    condition = { for matcher in google_compute_url_map.https.path_matcher : matcher.name => matcher.default_service } == {
      api                = google_compute_backend_service.api.id
      candidate          = google_compute_backend_service.candidate.id
      delivery           = google_compute_backend_service.delivery["delivery"].id
      delivery-candidate = google_compute_backend_service.delivery["delivery-candidate"].id
    }
    error_message = "A host leads to another backend."
  }
}

run "share_links_have_their_own_way_to_the_api" {
  command = apply

  assert {
    condition = { for matcher in google_compute_url_map.https.path_matcher : matcher.name => { for rule in matcher.path_rule : join(",", rule.paths) => rule.service } if !startswith(matcher.name, "delivery") } == {
      api       = { "/s/*" = google_compute_backend_service.links["links"].id }
      candidate = { "/s/*" = google_compute_backend_service.links["links-candidate"].id }
    }
    error_message = "Share links meet the API's rules and its log."
  }
}

run "share_links_are_answered_by_the_api" {
  command = apply

  assert {
    condition = { for name, service in google_compute_backend_service.links : name => one(service.backend).group } == {
      links           = google_compute_region_network_endpoint_group.api.id
      links-candidate = google_compute_region_network_endpoint_group.candidate.id
    }
    error_message = "Another service, or another revision."
  }
}

run "share_links_meet_a_policy_of_their_own" {
  command = apply

  assert {
    condition     = alltrue([for service in google_compute_backend_service.links : service.security_policy == google_compute_security_policy.links.id]) && google_compute_security_policy.links.id != google_compute_security_policy.this.id
    error_message = "Passwords meet rules that look for attacks, or nothing throttles who guesses them."
  }
}
