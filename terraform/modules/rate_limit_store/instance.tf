# Provides the instance's addresses in the subnet.
resource "google_network_connectivity_service_connection_policy" "this" {
  project       = var.project_id
  location      = var.region
  name          = "${var.name}-memorystore"
  description   = "Lets Memorystore take addresses beside Cloud Run."
  service_class = "gcp-memorystore"
  network       = var.network.network_id

  psc_config {
    subnetworks = [var.network.subnet_id]
  }
}

# Only counters that live for at most a minute, so there is neither persistence nor a replica.
resource "google_memorystore_instance" "this" {
  project                     = var.project_id
  location                    = var.region
  instance_id                 = var.name
  labels                      = var.labels
  mode                        = "CLUSTER_DISABLED"
  shard_count                 = 1
  replica_count               = 0
  node_type                   = var.node_type
  engine_version              = "VALKEY_8_0"
  transit_encryption_mode     = "SERVER_AUTHENTICATION"
  deletion_protection_enabled = false

  # No password, because it would be in the state. The network controls access (network.tf).
  authorization_mode = "AUTH_DISABLED"

  # A full store evicts the counters that expire first instead of refusing to count.
  engine_configs = { maxmemory-policy = "volatile-ttl" }

  desired_auto_created_endpoints {
    project_id = var.project_id
    network    = var.network.network_id
  }

  persistence_config {
    mode = "DISABLED"
  }

  depends_on = [google_network_connectivity_service_connection_policy.this]
}
