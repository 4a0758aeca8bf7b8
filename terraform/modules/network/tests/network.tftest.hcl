mock_provider "google" {}

variables {
  project_id = "example-project"
  region     = "europe-west1"
}

run "example_plans" {
  command = plan
  module {
    source = "./example"
  }
}

run "network_makes_no_subnets_by_itself" {
  command = plan
  assert {
    condition     = google_compute_network.this.auto_create_subnetworks == false
    error_message = "Subnets of every region would be made."
  }
}

run "google_apis_are_reached_privately" {
  command = plan
  assert {
    condition     = google_compute_subnetwork.run.private_ip_google_access
    error_message = "Private Google access is off."
  }
}

run "flows_are_logged" {
  command = plan
  assert {
    condition     = google_compute_subnetwork.run.log_config[0].flow_sampling == 0.1
    error_message = "Flow logs are missing."
  }
}

run "ingress_is_refused" {
  command = plan
  assert {
    condition     = google_compute_firewall.deny_ingress.direction == "INGRESS" && one(google_compute_firewall.deny_ingress.deny).protocol == "all" && toset(google_compute_firewall.deny_ingress.source_ranges) == toset(["0.0.0.0/0"])
    error_message = "The network lets connections in."
  }
}

run "peering_is_abandoned_on_destroy" {
  command = plan
  assert {
    condition     = google_service_networking_connection.services.deletion_policy == "ABANDON"
    error_message = "A destroy would fail on the peering."
  }
}

run "range_is_for_peering" {
  command = plan
  assert {
    condition     = google_compute_global_address.services.purpose == "VPC_PEERING" && google_compute_global_address.services.address_type == "INTERNAL"
    error_message = "The reserved range is not one for peering."
  }
}

run "small_subnet_is_refused" {
  command = plan
  variables {
    subnet = { cidr_range = "10.0.0.0/27" }
  }
  expect_failures = [var.subnet]
}

run "malformed_range_is_refused" {
  command = plan
  variables {
    subnet = { cidr_range = "10.0.0.0" }
  }
  expect_failures = [var.subnet]
}

run "zone_is_refused" {
  command = plan
  variables {
    region = "europe-west1-b"
  }
  expect_failures = [var.region]
}

run "project_number_is_refused" {
  command = plan
  variables {
    project_id = "123456789012"
  }
  expect_failures = [var.project_id]
}

run "tiny_services_range_is_refused" {
  command = plan
  variables {
    services_prefix_length = 29
  }
  expect_failures = [var.services_prefix_length]
}
