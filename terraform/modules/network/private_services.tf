resource "google_compute_global_address" "services" {
  project       = var.project_id
  name          = "${var.name}-services"
  description   = "Range from which Cloud SQL takes its private address."
  network       = google_compute_network.this.id
  address_type  = "INTERNAL"
  purpose       = "VPC_PEERING"
  ip_version    = "IPV4"
  prefix_length = var.services_prefix_length
}

resource "google_service_networking_connection" "services" {
  network                 = google_compute_network.this.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name]

  # Cloud SQL keeps the peering for days after an instance is deleted, and deleting it fails during that time.
  deletion_policy = "ABANDON"
}
