# Cloud Run instances share a subnet. Those with these tags may not connect to the store.
resource "google_compute_firewall" "deny_others" {
  project            = var.project_id
  name               = "${var.name}-deny-others"
  description        = "Keeps everything but the API from the store."
  network            = var.network.network_id
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = [var.network.cidr_range]
  target_tags        = var.denied_tags

  deny {
    protocol = "tcp"
    ports    = ["6379"]
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}
