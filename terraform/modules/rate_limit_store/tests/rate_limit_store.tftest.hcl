mock_provider "google" {}

override_resource {
  target          = google_memorystore_instance.this
  override_during = plan
  values = {
    endpoints = [{ connections = [
      { psc_auto_connection = [{ connection_type = "CONNECTION_TYPE_READER", ip_address = "10.10.0.9" }] },
      { psc_auto_connection = [{ connection_type = "CONNECTION_TYPE_PRIMARY", ip_address = "10.10.0.8" }] },
    ] }]
    managed_server_ca = [{ ca_certs = [{ certificates = ["first"] }, { certificates = ["second"] }] }]
  }
}

variables {
  project_id  = "example-project"
  region      = "europe-west1"
  denied_tags = ["image-processor"]
  network = {
    network_id = "projects/example-project/global/networks/image-manager"
    subnet_id  = "projects/example-project/regions/europe-west1/subnetworks/image-manager-run"
    cidr_range = "10.10.0.0/24"
  }
}

run "example_plans" {
  command = plan

  module {
    source = "./example"
  }
}

run "url_is_encrypted_and_holds_no_secret" {
  command = plan

  assert {
    condition     = output.url == "rediss://10.10.0.8:6379/0"
    error_message = "The URL is ${output.url}."
  }
}

run "all_certificate_authorities_are_told" {
  command = plan

  assert {
    condition     = output.ca_certificates == "first\nsecond"
    error_message = "A rotation of the certificate authority cuts the API off."
  }
}

run "connections_are_encrypted_and_need_no_password" {
  command = plan

  assert {
    condition     = google_memorystore_instance.this.transit_encryption_mode == "SERVER_AUTHENTICATION" && google_memorystore_instance.this.authorization_mode == "AUTH_DISABLED"
    error_message = "Counters cross the network in the clear, or a password is needed that nobody has."
  }
}

run "plain_clients_can_speak_to_it" {
  command = plan

  assert {
    condition     = google_memorystore_instance.this.mode == "CLUSTER_DISABLED"
    error_message = "A client that knows no clusters is sent elsewhere."
  }
}

run "a_full_store_forgets_instead_of_refusing" {
  command = plan

  assert {
    condition     = google_memorystore_instance.this.engine_configs["maxmemory-policy"] == "volatile-ttl"
    error_message = "A full store stops to count."
  }
}

run "addresses_come_from_the_subnet" {
  command = plan

  assert {
    condition     = google_network_connectivity_service_connection_policy.this.psc_config[0].subnetworks == tolist([var.network.subnet_id]) && google_network_connectivity_service_connection_policy.this.service_class == "gcp-memorystore"
    error_message = "The store takes its addresses elsewhere."
  }
}

run "others_are_kept_from_it" {
  command = plan

  assert {
    condition     = google_compute_firewall.deny_others.direction == "EGRESS" && google_compute_firewall.deny_others.target_tags == toset(["image-processor"]) && one(google_compute_firewall.deny_others.deny).ports == tolist(["6379"])
    error_message = "Others than the API reach the store."
  }
}

run "a_rule_for_everything_is_refused" {
  command = plan

  variables {
    denied_tags = []
  }

  expect_failures = [var.denied_tags]
}
