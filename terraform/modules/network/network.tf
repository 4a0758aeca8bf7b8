resource "google_compute_network" "this" {
  project                 = var.project_id
  name                    = var.name
  description             = "Carries Cloud Run's traffic to Cloud SQL."
  auto_create_subnetworks = false
  routing_mode            = "REGIONAL"
}

resource "google_compute_subnetwork" "run" {
  project       = var.project_id
  region        = var.region
  name          = "${var.name}-run"
  description   = "Cloud Run's instances take their addresses here."
  network       = google_compute_network.this.id
  ip_cidr_range = var.subnet.cidr_range
  stack_type    = "IPV4_ONLY"

  # Google's APIs are reachable without internet access.
  private_ip_google_access   = true
  private_ipv6_google_access = "DISABLE_GOOGLE_ACCESS"

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = var.subnet.flow_sampling_rate
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# Cloud Run only opens outgoing connections, so the network needs no incoming ones.
resource "google_compute_firewall" "deny_ingress" {
  project       = var.project_id
  name          = "${var.name}-deny-ingress"
  description   = "Refuses every connection into the network."
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  priority      = 65534
  source_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}
